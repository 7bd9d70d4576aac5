"""Where an endpoint listens and what is spoken there, in one URL."""

from dataclasses import dataclass
from typing import Final, Literal

from penstock.config.document.addresses import parse_host, parse_port
from penstock.config.document.paths import parse_path
from penstock.config.document.show import show
from penstock.config.document.socket_files import parse_socket_file
from penstock.core.snapshot.address import SOCKET_FILE

_SCHEME_PORTS: Final = {"http": 80, "https": 443, "h2c": 80, "tcp": 0, "udp": 0}  # 0: none is usual
_RELAYED: Final[dict[str, Literal["http", "tcp", "udp"]]] = {"tcp": "tcp", "udp": "udp"}
_SOCKET_SCHEMES: Final = ("http", "h2c", "tcp")  # over a socket of the file system
_OTHER_SCHEMES: Final = {
    "grpc": "; gRPC is spoken over HTTP/2: write h2c://",
    "grpcs": "; gRPC is spoken over HTTP/2: write https:// and `http2: on`",
    "ws": "; WebSockets begin with HTTP: write http://",
    "wss": "; WebSockets begin with HTTP: write https://",
}


@dataclass(frozen=True)
class EndpointUrl:
    """Where an endpoint listens, and what it speaks there."""

    host: str
    port: int
    tls: bool
    base_path: str = ""  # that all paths begin with there; without a slash at its end
    protocol: Literal["http", "tcp", "udp"] = "http"
    http2: bool = False  # with prior knowledge


def parse_endpoint_url(value: object) -> EndpointUrl:
    """``http://host:port``, ``https://host/base/path``, ``host:port``, ``tcp://host:port``,
    ``udp://host:port``, or a socket file: ``unix:/path``, ``h2c+unix:/path``, ``tcp+unix:/path``.

    Raises ValueError.
    """
    if isinstance(value, EndpointUrl):
        return value
    if not isinstance(value, str) or not value:
        raise ValueError(f"a URL such as http://10.0.0.1:8000 is needed, not {show(value)}")
    if value.startswith("/"):
        raise ValueError(f"{value}: write {SOCKET_FILE}{value} for a socket of the file system")
    spoken, file, path = value.partition(SOCKET_FILE)
    if file and (not spoken or spoken.endswith(("+", "://"))):
        return _behind_socket_file(value, spoken, SOCKET_FILE + path)
    scheme, found, rest = value.partition("://")
    if not found:
        scheme, rest = "http", value
        if ":" not in value:
            raise ValueError(f"an endpoint needs a scheme or a port: http://{value}")
    if scheme not in _SCHEME_PORTS:
        other = _OTHER_SCHEMES.get(scheme, "")
        raise ValueError(
            "an endpoint's URL begins with http://, https://, h2c://, tcp:// or udp://, not "
            f"{scheme}://{other}"
        )
    authority, slash, beyond = rest.partition("/")
    if "@" in authority:
        raise ValueError("a URL of an endpoint cannot hold a user name or password")
    if any(mark in rest for mark in "?#"):
        raise ValueError(f"{show(value)} has a query or fragment, which no endpoint can have")
    base_path = parse_path(slash + beyond.rstrip("/")) if beyond.strip("/") else ""
    if any(segment in ("", ".", "..") for segment in base_path.split("/")[1:]):
        raise ValueError(f"{show(value)} has a path with an empty segment, `.` or `..`")
    if scheme in _RELAYED and base_path:
        raise ValueError(f"{value}: {scheme}:// knows no paths; write {scheme}://{authority}")
    host, colon, port = authority.rpartition(":")
    if not colon or authority.endswith("]"):
        if scheme in _RELAYED:
            raise ValueError(f"{value} needs a port: {scheme}://{authority}:PORT")
        host, port = authority, str(_SCHEME_PORTS[scheme])
    number = parse_port(port)
    if number == 0:
        raise ValueError("an endpoint cannot have port 0")
    protocol = _RELAYED.get(scheme, "http")
    return EndpointUrl(
        parse_host(host), number, scheme == "https", base_path, protocol, http2=scheme == "h2c"
    )


def _behind_socket_file(value: str, spoken: str, file: str) -> EndpointUrl:
    scheme = spoken.removesuffix("+") or "http"
    if scheme in _SOCKET_SCHEMES:
        return EndpointUrl(
            parse_socket_file(file),
            0,
            tls=False,
            protocol=_RELAYED.get(scheme, "http"),
            http2=scheme == "h2c",
        )
    if spoken.endswith("://"):  # as nginx and others write it
        scheme = spoken.removesuffix("://")
    if scheme in _SOCKET_SCHEMES:
        right = file if scheme == "http" else f"{scheme}+{file}"
        raise ValueError(f"{value}: write {right}")
    raise ValueError(
        f"{value}: what is spoken over a socket file is HTTP ({SOCKET_FILE}/path), or "
        f"h2c+{SOCKET_FILE}/path or tcp+{SOCKET_FILE}/path"
    )
