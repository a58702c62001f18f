"""The door: GraphQL documents, read once, measured before they may cost anything, and then executed.

Knows GraphQL; no event, user or HTTP is named in this room.
"""

from executor.cost import Limits
from executor.documents import Documents, KnownDocuments

__all__ = ["Documents", "KnownDocuments", "Limits"]
