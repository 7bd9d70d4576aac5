"""By what requests are counted together."""

from ipaddress import IPv6Address, ip_network
from typing import Final

_IPV6_BITS: Final = 64  # a customer has as much at least (RFC 6177), and may use any of it


def address_subject(address: str) -> str:
    """An address, of IPv6 its /64: whoever has one address there has all."""
    if ":" not in address:
        return address
    try:
        mapped = IPv6Address(address.partition("%")[0]).ipv4_mapped
        if mapped is not None:
            return str(mapped)
        return str(ip_network(f"{address.partition('%')[0]}/{_IPV6_BITS}", strict=False))
    except ValueError:
        return address
