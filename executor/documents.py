"""Text to document: parsed, measured and validated once, then kept by its digest."""

import hashlib
from collections import OrderedDict
from collections.abc import Iterator

from graphql import DocumentNode, GraphQLError, OperationDefinitionNode, parse
from strawberry.extensions import SchemaExtension
from strawberry.schema.exceptions import CannotGetOperationTypeError
from strawberry.schema.schema import validate_document

from executor.cost import Limits, Measure, operation_of

MOST = 512
LONGEST_KEPT = 16_384  # characters; a client's own documents are shorter
MOST_CHARACTERS = 500_000  # of all together, since a parsed document takes up to 450 bytes for each


class Document:
    """A parsed document, with what has been found out about it so far."""

    def __init__(self, text: str, parsed: DocumentNode) -> None:
        self.text, self.parsed = text, parsed
        self.errors: list[GraphQLError] | None = None  # None until it is validated
        self.measures: dict[str | None, Measure] = {}  # by operationName, where no variable changes them


class Documents:
    """The documents used last, at most MOST of them, and of MOST_CHARACTERS in all."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._kept: OrderedDict[bytes, Document] = OrderedDict()
        self._characters = 0

    def get(self, text: str) -> Document:
        """Raises GraphQLSyntaxError, which is not kept: it costs no more than parsing."""
        digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
        if known := self._kept.get(digest):
            self._kept.move_to_end(digest)
            return known
        document = Document(text, parse(text, max_tokens=self.limits.tokens))
        if len(text) <= LONGEST_KEPT:
            self._kept[digest] = document
            self._characters += len(text)
            while len(self._kept) > MOST or self._characters > MOST_CHARACTERS:
                self._characters -= len(self._kept.popitem(last=False)[1].text)
        return document


class KnownDocuments(SchemaExtension):
    """Has Strawberry take parsed and validated documents from the store, and refuses those past the limits."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    def on_parse(self) -> Iterator[None]:
        context = self.execution_context
        self._document = self._documents.get(context.query or "")
        context.graphql_document = self._document.parsed
        operations = [one for one in self._document.parsed.definitions if isinstance(one, OperationDefinitionNode)]
        if len(operations) > 1 and not context._provided_operation_name:
            # Strawberry would run the first of them. GraphQL §6.1: which one must be said.
            raise CannotGetOperationTypeError(None)
        yield

    def on_validate(self) -> Iterator[None]:
        """Raises QueryTooComplex."""
        # Measured first: validating is what a hostile document makes dear.
        self._measure()
        context, document = self.execution_context, self._document
        if document.errors is None:
            found = validate_document(context.schema._schema, document.parsed, context.validation_rules)
            # Without what a scalar raised, such as Python at 5,000 digits: the document's fault is not the server's.
            document.errors = [GraphQLError(error.message, error.nodes) for error in found]
        context.pre_execution_errors = document.errors
        yield

    def _measure(self) -> None:
        context, measures = self.execution_context, self._document.measures
        name, limits = context.operation_name, self._documents.limits
        measure = measures.get(name)
        if measure is None:
            operation = operation_of(self._document.parsed, name)
            schema = context.schema._schema
            measure = Measure.of(operation, self._document.parsed, schema, context.variables or {}, limits)
            if not measure.depends_on_variables:
                measures[name] = measure
        limits.refuse(measure)
