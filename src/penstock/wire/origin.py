"""Where a request comes from, as far as trusted proxies tell (X-Forwarded-For; RFC 7239).

A client is one address, however its proxies write it: with a port, in brackets, with a zone, or as
IPv4 mapped into IPv6. What one of the two headers tells is told on in both.
"""

import re
from typing import Final

from penstock.wire.http1 import RequestHead
from penstock.wire.networks import Networks, canonical_address

# RFC 7239, 4. Unquoted values are read with ":" and "[" too, as some proxies send them.
_PAIR: Final = re.compile(
    r'[ \t]*([!#$%&\'*+.^_`|~\w-]+)=("(?:[^"\\]|\\.)*"|[^\s",;]*)[ \t]*([;,]|\Z)', re.ASCII
)
_EMPTY: Final = re.compile(r"[ \t]*([;,])")
_QUOTED_PAIR: Final = re.compile(r"\\(.)")


class Origin:
    """What is known of the hops before this connection, and of the client behind them."""

    def __init__(self, address: str) -> None:
        self.address: str = address  # the client's
        self.proto: bytes = b""  # that the client spoke, where it was told
        self.host: bytes = b""  # that the client asked for, where it was told
        self.forwarded_for: list[bytes] = []  # values of the two fields to go on from
        self.forwarded: list[bytes] = []


class _Element:
    """What one hop says of who came to it."""

    def __init__(self) -> None:
        self.node: str = ""
        self.proto: str = ""
        self.host: str = ""


def origin_of(head: RequestHead, address: str, trusted: Networks) -> Origin:
    """The origin of a request that came from ``address``; what strangers say is not heard.

    Where both are there X-Forwarded-For counts: proxies that know it alone pass on a ``Forwarded``
    that a client made up.
    """
    origin = Origin(address)
    if not trusted.holds(address):
        return origin
    given: list[str] = []
    for lower, _, value in head.fields:
        if lower in head.connection:
            continue
        if lower == b"x-forwarded-for":
            origin.forwarded_for.append(value)
            given += [part.strip() for part in value.decode("latin-1").split(",")]
        elif lower == b"forwarded":
            origin.forwarded.append(value)
        elif lower == b"x-forwarded-proto":
            origin.proto = value
        elif lower == b"x-forwarded-host":
            origin.host = value
    if origin.forwarded_for:
        _find_client(origin, [_element(node) for node in given if node], trusted)
        if not origin.forwarded:
            origin.forwarded = [b"for=" + _as_node(node) for node in given if node]
    elif origin.forwarded:
        elements = _elements(b", ".join(origin.forwarded).decode("latin-1"))
        _find_client(origin, elements, trusted)
        origin.forwarded_for = [
            (canonical_address(each.node) or "unknown").encode() for each in elements
        ]
    return origin


def _find_client(origin: Origin, elements: list[_Element], trusted: Networks) -> None:
    """The nearest address that is not a trusted proxy's, as far back as addresses can be read."""
    for element in reversed(elements):
        address = canonical_address(element.node)
        if not address:
            return  # "unknown", a hidden name, or nonsense: the hop that told it is the last known
        origin.address = address
        origin.proto = element.proto.encode("latin-1") or origin.proto
        origin.host = element.host.encode("latin-1") or origin.host
        if not trusted.holds(address):
            return


def _element(node: str) -> _Element:
    element = _Element()
    element.node = node
    return element


def _elements(value: str) -> list[_Element]:
    """Of a whole ``Forwarded``; none of one that cannot be read."""
    found: list[_Element] = []
    current: _Element | None = None
    at = 0
    while at < len(value):
        pair = _PAIR.match(value, at)
        if pair is None:
            empty = _EMPTY.match(value, at)
            if empty is None:
                return []
            at = empty.end()
            if empty.group(1) == ",":
                current = None
            continue
        if current is None:
            current = _Element()
            found.append(current)
        _read_pair(current, pair.group(1).lower(), pair.group(2))
        if pair.group(3) == ",":
            current = None
        at = pair.end()
    return found


def _read_pair(element: _Element, name: str, value: str) -> None:
    if value.startswith('"'):
        value = _QUOTED_PAIR.sub(r"\1", value[1:-1])
    if name == "for":
        element.node = value
    elif name == "proto":
        element.proto = value.lower()
    elif name == "host":
        element.host = value


def _as_node(given: str) -> bytes:
    """An element of X-Forwarded-For in the grammar of Forwarded (RFC 7239, 6)."""
    address = canonical_address(given)
    if not address:
        return b"unknown"
    return b'"[%b]"' % address.encode() if ":" in address else address.encode()
