"""Who calls: from which address, with which program. An address is what others can take for their own least easily.

X-Forwarded-For is anybody's text, but for what our own proxies put at its end.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network
_SUBSCRIBERS_BITS = 64  # who has one address of IPv6 has all of its /64
_SITES_BITS = 48  # and may have as much as a /48 (RFC 6177), which is 65,536 of those


@dataclass(frozen=True)
class Client:
    """`address` is what is counted; None for a script of the operator's own, which is not."""

    address: str | None = None
    user_agent: str | None = None

    @property
    def network(self) -> str | None:
        """What may be one customer's in all: of IPv6 the /48 around the address, else the address itself."""
        found = _network((self.address or "").partition("/")[0])
        if isinstance(found, IPv6Network):
            return str(found.supernet(new_prefix=_SITES_BITS))
        return self.address


class Proxies:
    """Those in front of the server: addresses, or networks like 10.0.0.0/8. Raises ValueError where one is neither."""

    def __init__(self, trusted: Iterable[str] = ()) -> None:
        self._trusted = tuple(ip_network(one) for one in trusted)

    def client(self, peer: str, forwarded_for: Iterable[str], user_agent: str | None) -> Client:
        """Of a connection from `peer`, with the values of its X-Forwarded-For headers in their order."""
        address = _network(peer)
        for hop in reversed([hop for header in forwarded_for for hop in header.split(",")]):
            if not address or not self._is_trusted(address):
                break  # what stands before was written by whoever is at this address
            if not (before := _network(hop)):
                break  # not written by a proxy of ours: the nearest that we know is counted
            address = before
        return Client(_counted(address) if address else peer, user_agent)

    def _is_trusted(self, address: Network) -> bool:
        return any(address.version == one.version and address.subnet_of(one) for one in self._trusted)  # type: ignore[arg-type]  # of one version


def _network(text: str) -> Network | None:
    """The address, which some proxies write with a port, in the way of its own version; None where it is none."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return ip_network(address)


def _counted(address: Network) -> str:
    if isinstance(address, IPv6Network):
        return str(address.supernet(new_prefix=_SUBSCRIBERS_BITS))
    return str(address.network_address)
