"""Whose address is counted."""

import pytest

from auth import Client, Proxies

PROXIES = Proxies(["10.0.0.0/8", "192.0.2.7", "2001:db8:ffff::/48"])
LONG = ", ".join(["10.0.0.1"] * 5000)


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "counted"),
    [
        ("203.0.113.5", [], "203.0.113.5"),
        ("203.0.113.5", ["198.51.100.1"], "203.0.113.5"),  # no proxy of ours
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("192.0.2.7", ["198.51.100.1"], "198.51.100.1"),
        ("192.0.2.8", ["198.51.100.1"], "192.0.2.8"),
        ("10.0.0.1", ["1.1.1.1, 198.51.100.1"], "198.51.100.1"),  # the client wrote the first itself
        ("10.0.0.1", ["1.1.1.1, 198.51.100.1, 10.2.3.4"], "198.51.100.1"),
        ("10.0.0.1", ["1.1.1.1", "198.51.100.1", "10.2.3.4"], "198.51.100.1"),  # in several headers
        ("10.0.0.1", ["10.0.0.9, 10.2.3.4"], "10.0.0.9"),  # from inside
        ("10.0.0.1", [f"{LONG}, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1:443"], "198.51.100.1"),
        ("10.0.0.1", ["[2001:db8:1:2:3::4]:443"], "2001:db8:1:2::/64"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["unknown"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1, _hidden, 10.2.3.4"], "10.2.3.4"),
        ("10.0.0.1", ["198.51.100.1,"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.01"], "10.0.0.1"),
        ("10.0.0.1", ["\ud800 \0"], "10.0.0.1"),
        ("2001:db8:1:2:3::4", ["198.51.100.1"], "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff:ffff:ffff:ffff", [], "2001:db8:1:2::/64"),
        ("fe80::1%eth0", [], "fe80::/64"),
        ("2001:db8:ffff::1", ["2001:db8:5::1"], "2001:db8:5::/64"),
        ("::ffff:203.0.113.5", [], "203.0.113.5"),
        ("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("", ["198.51.100.1"], ""),  # a socket without addresses
    ],
)
def test_the_nearest_that_is_no_proxy_of_ours_is_counted(peer: str, forwarded_for: list[str], counted: str) -> None:
    assert PROXIES.client(peer, forwarded_for, "a browser") == Client(counted, "a browser")


@pytest.mark.parametrize(
    ("address", "network"),
    [("203.0.113.5", "203.0.113.5"), ("2001:db8:1:2::/64", "2001:db8:1::/48"), ("", ""), (None, None)],
)
def test_the_network_around_an_address_of_ipv6_is_its_48(address: str | None, network: str | None) -> None:
    assert Client(address).network == network


def test_without_proxies_the_header_is_anybodys() -> None:
    assert Proxies().client("127.0.0.1", ["198.51.100.1"], None) == Client("127.0.0.1")
