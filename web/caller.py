"""Who asks, as the connection says it."""

from functools import cached_property

from starlette.requests import HTTPConnection
from starlette.types import Scope

from auth import Client, Proxies

_NOBODY: Scope = {"type": "http", "headers": [], "path": "/", "scheme": "http"}


class Caller:
    """`authorization` is not verified yet. What only few requests want to know is found out when they do."""

    def __init__(
        self, scope: Scope = _NOBODY, proxies: Proxies | None = None, *, authorization: str | None = None
    ) -> None:
        self._scope, self._proxies = scope, proxies or Proxies()
        self.authorization = authorization or _header(scope, b"authorization")

    def with_authorization(self, value: str) -> "Caller":
        """The same, who says by another way than a header who it is."""
        return Caller(self._scope, self._proxies, authorization=value)

    @cached_property
    def client(self) -> Client:
        headers = HTTPConnection(self._scope).headers
        peer = self._scope["client"][0] if self._scope.get("client") else ""  # a server may listen without addresses
        return self._proxies.client(peer, headers.getlist("x-forwarded-for"), headers.get("user-agent"))

    @cached_property
    def base_url(self) -> str:
        """The address under which the server was reached."""
        return str(HTTPConnection(self._scope).base_url)

    @property
    def is_to_be_fresh(self) -> bool:
        """Cache-Control: no-cache (RFC 9111 §5.2.1.4), or by a socket, where changes are told: what is read there after
        one has to show it."""
        return self._scope["type"] == "websocket" or is_to_be_fresh(self._scope)


def _header(scope: Scope, wanted: bytes) -> str | None:
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == wanted), None)


def is_to_be_fresh(scope: Scope) -> bool:
    return "no-cache" in (_header(scope, b"cache-control") or "").lower()
