from typing import Any

from strawberry.permission import BasePermission

from schema.context import Info


class IsAuthenticated(BasePermission):
    """Lets the signed-in through. Others get the reason: UNAUTHENTICATED, or one of the TOKEN_ codes."""

    async def has_permission(self, source: Any, info: Info, **kwargs: Any) -> bool:
        await info.context.viewer()  # raises the reason
        return True
