"""How lines of the request log look, what they leave out, and which requests have one."""

from ipaddress import ip_address, ip_network
from random import Random
from typing import Final

from penstock.core import snapshot

# Bytes of an address that stay where only networks are told: what is usually one site's.
_IPV4_BITS: Final = 24
_IPV6_BITS: Final = 48
_SERVER_ERROR: Final = 500
_WENT_WELL: Final = ("done", "fixed")
_PAIRS: Final = b"&"


class LogShape:
    """What the configuration says of it."""

    def __init__(self, spec: snapshot.RequestLog) -> None:
        self.format: str = spec.format
        self._sample: float = spec.sample
        self._hidden: frozenset[bytes] = frozenset(
            [name.lower().encode() for name in spec.hide_query]
        )
        self._clients: str = spec.clients
        self._chance: Random = Random()

    def wants(self, status: int, ended: str) -> bool:
        """Whether a request has a line. One that went wrong always has."""
        if self._sample >= 1.0 or status >= _SERVER_ERROR or ended not in _WENT_WELL:
            return True
        return self._chance.random() < self._sample

    def client(self, address: str) -> str:
        """As much of a client's address as may be told."""
        if self._clients == "whole":
            return address
        if self._clients == "off":
            return "-"
        try:
            bits = _IPV4_BITS if ip_address(address).version == 4 else _IPV6_BITS
            return str(ip_network(f"{address}/{bits}", strict=False).network_address)
        except ValueError:
            return "-"  # a socket file's, or a name that a proxy told

    def target(self, target: bytes) -> bytes:
        """With ``-`` in place of the values of query parameters that are not told."""
        if not self._hidden or b"?" not in target:
            return target
        path, _, query = target.partition(b"?")
        shown: list[bytes] = []
        for pair in query.split(_PAIRS):
            name, equals, _value = pair.partition(b"=")
            hidden = equals and _plain(name) in self._hidden
            shown.append(name + b"=-" if hidden else pair)
        return path + b"?" + _PAIRS.join(shown)


def _plain(name: bytes) -> bytes:
    """A parameter's name in lower case, ``%74oken`` and ``token`` alike."""
    if b"%" in name:
        parts = name.split(b"%")
        whole = parts[0]
        for part in parts[1:]:
            try:
                whole += bytes([int(part[:2], 16)]) + part[2:]
            except ValueError:
                whole += b"%" + part
        name = whole
    return name.lower()


EVERYTHING: Final = LogShape(snapshot.RequestLog())
