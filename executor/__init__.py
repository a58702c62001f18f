"""The door: GraphQL documents, read once, measured before they may cost anything, compiled, and run.

Knows GraphQL and what a SELECT reads; no event, user or HTTP is named in this room. docs/architecture.md leads through.
"""

from executor.cost import Limits
from executor.documents import Operation, UnknownOperation
from executor.executor import Executor, NotAllowed, Result
from executor.reads import FromRow, FromRows, Selection, is_alone, reads, selection, the_one

__all__ = [
    "Executor",
    "FromRow",
    "FromRows",
    "Limits",
    "NotAllowed",
    "Operation",
    "Result",
    "Selection",
    "UnknownOperation",
    "is_alone",
    "reads",
    "selection",
    "the_one",
]
