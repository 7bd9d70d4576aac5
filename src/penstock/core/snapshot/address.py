"""Hosts and ports, and the sockets of the file system that stand in their place."""

from __future__ import annotations

from typing import Final

# Of a host that is a socket of the file system; its port is 0.
SOCKET_FILE: Final = "unix:"
# Who is at the other end of one is on this machine, and so are the other ports of its server.
LOCAL_HOST: Final = "127.0.0.1"


def socket_path(host: str) -> str:
    """The path of a host such as ``unix:/run/app.sock``; "" of a name or an IP address."""
    return host.removeprefix(SOCKET_FILE) if host.startswith(SOCKET_FILE) else ""


def shown_address(host: str, port: int) -> str:
    """``host:port``, with brackets around an IPv6 address, or ``unix:/path``."""
    if host.startswith(SOCKET_FILE):
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def shown_url(scheme: str, host: str, port: int) -> str:
    """As an endpoint or listener is written: ``tcp://host:port``, ``tcp+unix:/path``.

    HTTP is what ``unix:/path`` alone speaks.
    """
    if not host.startswith(SOCKET_FILE):
        return f"{scheme}://{shown_address(host, port)}"
    return host if scheme == "http" else f"{scheme}+{host}"


def host_field(host: str, port: int) -> str:
    """The Host header of a server there: one behind a socket file is asked as localhost."""
    return "localhost" if host.startswith(SOCKET_FILE) else shown_address(host, port)
