"""Text to document: parsed, measured and validated once, then kept by its digest."""

import hashlib
from collections import OrderedDict
from collections.abc import Iterator

from graphql import DocumentNode, GraphQLError, parse
from strawberry.extensions import SchemaExtension
from strawberry.schema.schema import validate_document

from executor.cost import Limits, Measure, operation_of

MOST = 512
LONGEST_KEPT = 16_384  # characters; a client's own documents are shorter, and the store stays below 100 MB


class Document:
    """A parsed document, with what has been found out about it so far."""

    def __init__(self, parsed: DocumentNode) -> None:
        self.parsed = parsed
        self.errors: list[GraphQLError] | None = None  # None until it is validated
        self.measures: dict[str | None, Measure] = {}  # by operationName, where no variable changes them


class Documents:
    """The documents used last, at most MOST of them."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._kept: OrderedDict[bytes, Document] = OrderedDict()

    def get(self, text: str) -> Document:
        """Raises GraphQLSyntaxError, which is not kept: it costs no more than parsing."""
        digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
        if known := self._kept.get(digest):
            self._kept.move_to_end(digest)
            return known
        document = Document(parse(text, max_tokens=self.limits.tokens))
        if len(text) <= LONGEST_KEPT:
            self._kept[digest] = document
            if len(self._kept) > MOST:
                self._kept.popitem(last=False)
        return document


class KnownDocuments(SchemaExtension):
    """Has Strawberry take parsed and validated documents from the store, and refuses those past the limits."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    def on_parse(self) -> Iterator[None]:
        context = self.execution_context
        self._document = self._documents.get(context.query or "")
        context.graphql_document = self._document.parsed
        yield

    def on_validate(self) -> Iterator[None]:
        """Raises QueryTooComplex."""
        # Measured first: validating is what a hostile document makes dear.
        self._measure()
        context, document = self.execution_context, self._document
        if document.errors is None:
            document.errors = validate_document(context.schema._schema, document.parsed, context.validation_rules)
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
