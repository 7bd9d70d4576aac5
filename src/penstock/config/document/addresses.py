"""Hosts, ports, networks, and addresses to listen on."""

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from penstock.config.document.show import show
from penstock.config.document.socket_files import parse_socket_file
from penstock.core.snapshot.address import SOCKET_FILE, shown_address, shown_url, socket_path

_HOST: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?")
LISTEN_SCHEMES: Final = ("http", "tcp", "udp", "epp")


@dataclass(frozen=True)
class Address:
    """Where to listen. ``host`` is an address or name without brackets, or ``unix:/path``, which
    has no port (0)."""

    host: str
    port: int
    protocol: str = ""  # one of LISTEN_SCHEMES, where it is said outright

    def __str__(self) -> str:
        if not self.protocol:
            return shown_address(self.host, self.port)
        return shown_url(self.protocol, self.host, self.port)

    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        if socket_path(self.host):
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def parse_address(value: object) -> Address:
    """An ``Address`` from ``host:port``, ``[v6]:port``, ``:port`` or ``unix:/path``.

    Raises ValueError.
    """
    if isinstance(value, Address):
        return value
    if isinstance(value, str) and value.startswith(SOCKET_FILE):
        return Address(parse_socket_file(value), 0)
    if re.fullmatch("[0-9]+", str(value)):
        raise ValueError(f"{value} is only a port: write 127.0.0.1:{value} or 0.0.0.0:{value}")
    if not isinstance(value, str):
        raise ValueError(f"an address such as 127.0.0.1:8080 is needed, not {show(value)}")
    if value.startswith("/"):
        raise ValueError(f"{value}: write {SOCKET_FILE}{value} for a socket of the file system")
    scheme, found, address = value.partition("://")
    if found and scheme in LISTEN_SCHEMES:
        raise ValueError(f"write {address} here, and `protocol: {scheme}` beside it")
    host, colon, port = value.rpartition(":")
    if not colon:
        raise ValueError(f"an address needs a port, such as {value}:8080")
    if host in ("", "*"):
        host = "0.0.0.0"  # noqa: S104 -- ":8080" asks for every interface
    return Address(parse_host(host), parse_port(port))


def parse_listen(value: object) -> Address:
    """An ``Address`` that may say what is spoken there: ``udp://host:port``. Raises ValueError."""
    if not isinstance(value, str):
        return parse_address(value)
    scheme, plus, rest = value.partition("+")
    if plus and rest.startswith(SOCKET_FILE) and scheme in LISTEN_SCHEMES:
        return Address(parse_socket_file(rest), 0, scheme)
    scheme, found, rest = value.partition("://")
    if not found or value.startswith(SOCKET_FILE):
        return parse_address(value)
    if scheme not in LISTEN_SCHEMES:
        raise ValueError(
            f"{value}: one of {', '.join(f'{s}://' for s in LISTEN_SCHEMES)} is needed"
        )
    address = parse_address(rest)
    return Address(address.host, address.port, scheme)


def parse_host(text: str) -> str:
    """A host name or IP address, brackets removed. Raises ValueError."""
    bare = text
    if text.startswith("[") and text.endswith("]"):
        bare = text[1:-1]
    if ":" in bare:
        if bare == text:
            raise ValueError(f"write an IPv6 address in brackets: [{text}]")
        return str(ipaddress.IPv6Address(bare))
    labels = bare.removesuffix(".").split(".")  # of 1 to 63 characters (RFC 1035, 2.3.4)
    fits = len(bare) <= 253 and all(0 < len(label) <= 63 for label in labels)
    if not _HOST.fullmatch(bare) or not fits or bare != text:
        raise ValueError(f"{show(text)} is not a host name or an IP address")
    return bare.lower()


def parse_authority(value: object) -> str:
    """What a Host header holds: a host, and a port if there is one. Raises ValueError."""
    if not isinstance(value, str):
        raise ValueError(f"a host such as inner.example:8000 is needed, not {show(value)}")
    host, colon, port = value.rpartition(":")
    if not colon or value.endswith("]"):
        host = value
    else:
        parse_port(port)
    parse_host(host)
    return value


def parse_port(value: object) -> int:
    """A port, 0..65535. Raises ValueError."""
    text = str(value)
    if not re.fullmatch("[0-9]{1,5}", text) or int(text) > 65535:
        raise ValueError(f"a port is a number from 0 to 65535, not {show(value)}")
    return int(text)


def parse_network(value: object) -> str:
    """A network in CIDR form, or one address. Raises ValueError."""
    try:
        return str(ipaddress.ip_network(str(value), strict=True))
    except ValueError as error:
        try:
            meant = ipaddress.ip_network(str(value), strict=False)
        except ValueError:
            raise ValueError(
                f"a network such as 10.0.0.0/8 is needed, not {show(value)}"
            ) from error
        raise ValueError(f"{value} has bits outside its mask; did you mean {meant}?") from error
