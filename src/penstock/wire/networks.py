"""IP addresses in one spelling, and the networks that hold them."""

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

# RFC 7239, 6: a port is a number, or a name that begins with "_".
_PORT: Final = re.compile(r"(?::(?:\d{1,5}|_[\w.-]+))?", re.ASCII)
_MAPPED_BITS: Final = 96  # of ::ffff:0:0/96, IPv4 mapped into IPv6 (RFC 4291, 2.5.5.2)


def canonical_address(text: str) -> str:
    """The one spelling of an IP address, without port, brackets and zone; "" for what is none."""
    text = text.strip(' \t"')
    if text.startswith("["):
        text, closed, port = text[1:].partition("]")
        if not closed or _PORT.fullmatch(port) is None:
            return ""
    elif text.count(":") == 1:
        text, _, port = text.partition(":")
        if _PORT.fullmatch(":" + port) is None:
            return ""
    try:
        return str(_unmapped(ip_address(text.partition("%")[0])))
    except ValueError:
        return ""


def _unmapped(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or address
    return address


class Networks:
    """Networks by which addresses are told apart: who is believed, let in, or routed."""

    def __init__(self, networks: tuple[str, ...] = ()) -> None:
        """Networks in CIDR form. Raises ValueError on a malformed one."""
        self._networks: list[IPv4Network | IPv6Network] = [_network(text) for text in networks]

    def holds(self, address: str) -> bool:
        """Whether an address, as text, is in one of them; False for anything unreadable."""
        if not self._networks:
            return False
        canonical = canonical_address(address)
        if not canonical:
            return False
        parsed = ip_address(canonical)
        return any([parsed in network for network in self._networks])


def _network(text: str) -> IPv4Network | IPv6Network:
    network = ip_network(text, False)
    if isinstance(network, IPv6Network) and network.prefixlen >= _MAPPED_BITS:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((mapped, network.prefixlen - _MAPPED_BITS))
    return network
