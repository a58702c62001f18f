"""Text to document: parsed, measured, validated and compiled once, then kept by its digest."""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    Source,
    SourceLocation,
)
from graphql.execution.values import VariableValues
from prometheus_client import Counter

from executor.compiler import CannotCompile, Compiler, Reason
from executor.conditions import variables_of
from executor.cost import Limits, Measure
from executor.plan import Plan
from executor.variables import Variables

MOST = 512
# A field of a plan counts as a character: either takes 50 to 400 bytes.
LONGEST_KEPT = 16_384  # characters; a client's own documents are shorter
MOST_CHARACTERS = 90_000  # of all together in each of the two parts
MOST_MEASURES = 32  # of one operation: one for each size of page
MOST_PLANS = 8  # of one operation: @include and @skip with four variables would make 16
LONG = 1_000  # characters, beyond which a document is read beside the event loop

NOT_COMPILED = Counter("planner_documents_not_compiled", "Operations that graphql-core had to run.", ["reason"])
for _reason in Reason:
    NOT_COMPILED.labels(_reason)  # from the start: of a series that begins at 1, Prometheus knows no increase


class UnknownOperation(Exception):
    """The document has several operations and it was not said which, or has none of the name."""


class Operation:
    """One operation of a document that is valid, with its plans: one for each set of answers to its conditions."""

    def __init__(self, document: "Document", definition: OperationDefinitionNode) -> None:
        self.document, self.definition, self.kind = document, definition, definition.operation
        self.name = definition.name.value if definition.name else None
        self.label = (self.name, definition.operation.value)  # under which it is counted
        self._variables: Variables | None = None
        self._sizes: tuple[str, ...] | None = None  # the variables that its measure depends on
        self._measures: OrderedDict[tuple[Any, ...], Measure] = OrderedDict()
        self._selections = 0  # a plan has no more fields
        self._plans: OrderedDict[tuple[Any, ...], Plan | None] = OrderedDict()

    def measure(self, schema: GraphQLSchema, given: Mapping[str, Any], limits: Limits) -> Measure:
        """What it asks for at most, with these variables. It need not be valid."""
        try:
            known = self._measures.get(self._key(given)) if self._sizes is not None else None
        except TypeError:
            known = None  # one of them is a list or an object, which is for the coercion of variables to refuse
        if known is None:
            known = Measure.of(self.definition, self.document.parsed, schema, given, limits)
            self._sizes, self._selections = known.variables, known.selections
            with suppress(TypeError):
                self._measures[self._key(given)] = known
            if len(self._measures) > MOST_MEASURES:
                self._measures.popitem(last=False)
        return known

    def _key(self, given: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple((type(value := given.get(name)), value) for name in self._sizes or ())

    def variables(self, schema: GraphQLSchema, given: Mapping[str, Any]) -> VariableValues | list[GraphQLError]:
        if self._variables is None:
            self._variables = Variables(schema, self.definition)
        return self._variables.coerced(given)

    def plan(self, variables: VariableValues) -> Plan | None:
        """The plan that is kept: None where none can be made, and graphql-core has to run it. Raises KeyError where
        `has_plan` says no."""
        conditions = self._conditions(variables)
        self._plans.move_to_end(conditions)
        return self._plans[conditions]

    def has_plan(self, variables: VariableValues) -> bool:
        return self._conditions(variables) in self._plans

    def compiled(self, compiler: Compiler, variables: VariableValues) -> Plan | None:
        """A new plan, as above. It changes nothing here, so it may be made in another thread."""
        try:
            return compiler.compile(self.document.parsed, self.definition, variables)
        except CannotCompile as cannot:
            NOT_COMPILED.labels(cannot.reason).inc()
            return None

    def keep(self, variables: VariableValues, plan: Plan | None) -> None:
        """Unless it is too large by itself: then it is made anew each time."""
        self._plans[self._conditions(variables)] = plan
        while self._plans and (len(self._plans) > MOST_PLANS or self.document.weight > LONGEST_KEPT):
            self._plans.popitem(last=False)

    @property
    def weight(self) -> int:
        return len(self._plans) * self._selections

    def _conditions(self, variables: VariableValues) -> tuple[Any, ...]:
        return tuple(variables.coerced.get(name) for name in self.document.conditions)


class Text(Source):
    """A document's text. graphql-core looks for an error's place from the first line on: a hundred errors after a
    megabyte of blank lines took 22 s."""

    def get_location(self, position: int) -> SourceLocation:
        before = self.body[:position]
        line = before.count("\n") + before.count("\r") - before.count("\r\n")
        return SourceLocation(line + 1, position - max(before.rfind("\n"), before.rfind("\r")))


class Document:
    """A parsed document, with what has been found out about it so far."""

    def __init__(self, text: str, parsed: DocumentNode) -> None:
        self.text, self.parsed = text, parsed
        self.was_used_again = False  # while it was kept
        self.errors: list[GraphQLError] | None = None  # None until it is validated
        self.conditions = variables_of(parsed)
        operations = [one for one in parsed.definitions if isinstance(one, OperationDefinitionNode)]
        self._operations = [Operation(self, one) for one in operations]

    @property
    def weight(self) -> int:
        return len(self.text) + sum(one.weight for one in self._operations)

    def operation(self, name: str | None) -> Operation:
        """Raises UnknownOperation."""
        named = [one for one in self._operations if one.definition.name and one.definition.name.value == name]
        found = named if name else self._operations
        if len(found) != 1:  # several have one name where the document is not valid
            raise UnknownOperation
        return found[0]


class Documents:
    """The documents that were used last, in two parts of the same size. A new one comes into the first; one that is
    used again goes on into the second. So a flood of documents that are used once drives out nothing but each other.
    """

    def __init__(self) -> None:
        self._new, self._used_again = _Part(), _Part()
        self.found, self.not_found = 0, 0  # times

    def find(self, text: str) -> Document | None:
        digest = _digest(text)
        known = self._used_again.get(digest)
        if known is None and (known := self._new.pop(digest)):
            known.was_used_again = True
            self._used_again.add(digest, known)
        if known is None:
            self.not_found += 1
        else:
            self.found += 1
        return known

    def __len__(self) -> int:
        return len(self._new) + len(self._used_again)

    def keep(self, document: Document) -> None:
        if len(document.text) <= LONGEST_KEPT:
            self._new.add(_digest(document.text), document)

    def weigh(self, document: Document) -> None:
        """Once it has more plans than before."""
        digest = _digest(document.text)
        for part in (self._used_again, self._new):
            if part.get(digest) is document:
                part.add(digest, document)


class _Part:
    """At most MOST documents, and MOST_CHARACTERS of them all together."""

    def __init__(self) -> None:
        self._kept: OrderedDict[bytes, tuple[Document, int]] = OrderedDict()  # each as heavy as it was when added
        self._weight = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, digest: bytes) -> Document | None:
        if known := self._kept.get(digest):
            self._kept.move_to_end(digest)
            return known[0]
        return None

    def pop(self, digest: bytes) -> Document | None:
        document, weight = self._kept.pop(digest, (None, 0))
        self._weight -= weight
        return document

    def add(self, digest: bytes, document: Document) -> None:
        self.pop(digest)
        self._kept[digest] = document, document.weight
        self._weight += document.weight
        while len(self._kept) > MOST or self._weight > MOST_CHARACTERS:
            self._weight -= self._kept.popitem(last=False)[1][1]


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
