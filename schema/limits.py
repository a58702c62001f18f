"""How large a document may be. Read at the parser, before anything else is done with it."""

from collections.abc import Iterator

from strawberry.extensions import SchemaExtension

TOKENS = 2_000


class Limits(SchemaExtension):
    def on_operation(self) -> Iterator[None]:
        self.execution_context.parse_options["max_tokens"] = TOKENS
        yield
