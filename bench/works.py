"""What the servers are asked, and when two of their answers are the same."""

from dataclasses import dataclass
from typing import Any

import orjson


@dataclass(frozen=True)
class Work:
    name: str
    document: str

    @property
    def body(self) -> bytes:
        return orjson.dumps({"query": self.document})

    def answer(self, body: bytes) -> Any:
        """What the body says, equal for equal answers. Raises ValueError where it says that something went wrong."""
        # One instant, two spellings: Strawberry's own type ends it with an offset, the planner with Z (RFC 3339 §4.3).
        told = orjson.loads(body.replace(b'+00:00"', b'Z"'))
        if "errors" in told or not told.get("data"):
            raise ValueError(f"{self.name}: {body[:500]!r}")
        return told


LIST_OF_20 = Work(
    "list of 20",
    "{ events(first: 20) { nodes { id title description location tags startsAt createdAt creator { id username } } } }",
)
WORKS = (LIST_OF_20,)
