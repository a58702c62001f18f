"""Who asks, as the connection says it."""

from dataclasses import dataclass, field

from starlette.requests import HTTPConnection
from starlette.types import Scope

from auth import Client, Proxies


@dataclass(frozen=True)
class Caller:
    """`authorization` is not verified yet; `base_url` is the address under which the server was reached."""

    authorization: str | None = None
    client: Client = field(default_factory=Client)
    base_url: str = ""

    @classmethod
    def of(cls, scope: Scope, proxies: Proxies) -> "Caller":
        connection = HTTPConnection(scope)
        headers = connection.headers
        peer = scope["client"][0] if scope.get("client") else ""  # a server may listen where there are no addresses
        client = proxies.client(peer, headers.getlist("x-forwarded-for"), headers.get("user-agent"))
        return cls(headers.get("authorization"), client, str(connection.base_url))
