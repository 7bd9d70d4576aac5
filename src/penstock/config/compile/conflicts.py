"""What cannot run though every part is right: addresses that are taken, files without a folder.

Found here, when a document is compiled, so that `penstock check`, the start and reloads agree.
"""

import ipaddress
import os
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from penstock.config.document.addresses import Address
from penstock.config.load.errors import Location
from penstock.config.load.findings import Findings
from penstock.core import snapshot
from penstock.core.snapshot.address import socket_path

_LOCALHOST: Final = "127.0.0.1"
_ANY: Final = "0.0.0.0"  # noqa: S104 - compared with, not bound
_ANY_OF_BOTH: Final = "::"  # takes IPv4 too, see control/workers/sockets.py


def check_addresses(
    listeners: Mapping[str, tuple[snapshot.Listener, Location]],
    admin: Address | None,
    findings: Findings,
) -> None:
    """Every address can be listened on beside the others; ports of TCP and of UDP are others."""
    taken: list[tuple[Address, bool, str]] = []
    wanted = [
        (Address(each.host, each.port), each.protocol == "udp", at, f"listener {name!r}")
        for name, (each, at) in listeners.items()
    ]
    if admin is not None:
        wanted.append((admin, False, ("admin",), "the admin address"))
    for address, datagrams, at, who in wanted:
        for other, others_datagrams, owner in taken:
            if datagrams != others_datagrams:
                continue
            if address == other and (address.port or socket_path(address.host)):
                findings.wrong(at, f"{address} is the address of {owner} already")
            elif _overlap(address, other):
                findings.wrong(at, f"{address} cannot be listened on beside {other} of {owner}")
        taken.append((address, datagrams, who))
        if path := socket_path(address.host):
            _check_socket_file(Path(path), at, findings)
        elif not _may_be_here(address.host):
            findings.doubtful(at, f"this machine has no address {address.host}")


def check_endpoints(
    pools: Iterable[tuple[snapshot.Pool, Location]],
    listeners: Mapping[str, snapshot.Listener],
    findings: Findings,
) -> None:
    """No endpoint is a listener: each request to it would come back, again and again."""
    for pool, at in pools:
        for index, endpoint in enumerate(pool.endpoints):
            for name, address in listeners.items():
                if (pool.protocol == "udp") != (address.protocol == "udp"):
                    continue
                if endpoint.port == address.port and _leads_to(endpoint.host, address.host):
                    findings.wrong(
                        (*at, "endpoints", index),
                        f"{Address(endpoint.host, endpoint.port)} is Penstock's own listener "
                        f"{name!r}: requests would come back to it",
                    )


def check_file(path: Path, at: Location, findings: Findings) -> None:
    """A file can be appended to, or made."""
    if path.is_dir():
        findings.wrong(at, f"{path} is a folder; the path of a file is needed")
    elif not path.parent.is_dir():
        findings.wrong(at, f"{path.parent} is not a folder that is there: make it first")
    elif not os.access(path if path.exists() else path.parent, os.W_OK):
        findings.wrong(at, f"{path} cannot be written by this user")


def check_directory(path: Path, at: Location, findings: Findings) -> None:
    """A directory can be written into, or made where its first parent stands that is there."""
    there = next(each for each in (path, *path.absolute().parents) if each.exists())
    if not there.is_dir():
        findings.wrong(at, f"{there} is a file; the path of a folder is needed")
    elif not os.access(there, os.W_OK | os.X_OK):  # no reason not to serve
        findings.doubtful(
            at, f"{there} cannot be written by this user: without it, all lives in memory"
        )


def _check_socket_file(path: Path, at: Location, findings: Findings) -> None:
    """It can be made there."""
    if path.exists() and not path.is_socket():
        findings.wrong(at, f"{path} is there and is no socket; it is not replaced")
    elif not path.parent.is_dir():
        findings.wrong(at, f"{path.parent} is not a folder that is there: make it first")
    elif not os.access(path.parent, os.W_OK):
        findings.wrong(at, f"{path.parent} cannot be written by this user")


def _overlap(one: Address, other: Address) -> bool:
    if one.port != other.port or one.port == 0:
        return False
    hosts = (_canonical(one.host), _canonical(other.host))
    if _ANY_OF_BOTH in hosts or hosts[0] == hosts[1]:
        return True
    return _ANY in hosts and not any(":" in host for host in hosts)


def _leads_to(host: str, listening: str) -> bool:
    """Whether who connects to ``host`` meets what listens there."""
    host = _canonical(host)
    if host in (_ANY, _ANY_OF_BOTH):
        host = _LOCALHOST  # where connecting to it leads
    listening = _canonical(listening)
    if listening == host:
        return True
    if listening == _ANY and ":" in host:
        return False
    return listening in (_ANY, _ANY_OF_BOTH) and _is_here(host)


def _canonical(host: str) -> str:
    if host == "localhost":
        return _LOCALHOST
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    return str(getattr(address, "ipv4_mapped", None) or address)


def _is_here(host: str) -> bool:
    """Whether an address is one of this machine's; False for names."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    if address.is_loopback:
        return True
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
    except OSError:
        return False
    return True


def _may_be_here(host: str) -> bool:
    host = _canonical(host)
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return True  # a name: it is looked up at start
    return host in (_ANY, _ANY_OF_BOTH) or _is_here(host)
