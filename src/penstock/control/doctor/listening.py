"""The addresses that a file asks for, and the certificates that are shown there."""

import errno
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from penstock.config.compile.certificates import check_certificate, end_of_certificate
from penstock.config.compile.snapshot import Configured
from penstock.control.doctor.finding import Finding, Harm
from penstock.core.snapshot import Certificate, Listener
from penstock.core.snapshot.address import shown_address, socket_path

DAY_S: Final = 86400.0
SOON_S: Final = 14 * DAY_S  # authorities that issue for 90 days are asked anew 30 days before
_WHY: Final = {
    errno.EACCES: (
        "ports below 1024 need a privilege",
        "AmbientCapabilities=CAP_NET_BIND_SERVICE in its systemd unit, or `sysctl "
        "net.ipv4.ip_unprivileged_port_start=80`",
    ),
    errno.EADDRNOTAVAIL: (
        "this machine has no such address",
        "an address of `ip address`, or `:PORT` for all of them",
    ),
    errno.EADDRINUSE: (
        "another process listens there",
        "`ss -ltnup` tells which; if it is this balancer, all is well: reload it",
    ),
}


def judge_addresses(configured: Configured, running: bool) -> Iterator[Finding]:
    """Those that cannot be listened on. A balancer that is ``running`` has its own."""
    for listener in configured.snapshot.listeners:
        where = f"listeners.{listener.name}"
        yield from _address(where, listener.host, listener.port, listener.protocol, running)
    admin = configured.admin
    if admin.host:
        yield from _address("admin", admin.host, admin.port, "tcp", running)


def judge_certificates(configured: Configured, now_s: float | None = None) -> Iterator[Finding]:
    """Those of listeners that have ended, or will soon."""
    now_s = time.time() if now_s is None else now_s
    for listener in configured.snapshot.listeners:
        for pair in listener.certificates:
            end_s = _end_of(pair)
            if end_s is not None:
                yield from judge_end(
                    f"listeners.{listener.name}",
                    f"its certificate {pair.certificate}",
                    end_s,
                    now_s,
                )
        yield from _certificate_of_acme(listener, configured)
    admin = configured.admin
    if admin.certificate:
        end_s = _end_of(Certificate(admin.certificate, admin.key))
        if end_s is not None:
            yield from judge_end("admin", f"its certificate {admin.certificate}", end_s, now_s)


def judge_end(where: str, what: str, end_s: float, now_s: float) -> Iterator[Finding]:
    """A certificate that ends then."""
    day = time.strftime("%Y-%m-%d", time.gmtime(end_s))
    if end_s <= now_s:
        yield Finding(Harm.ERROR, where, f"{what} ended on {day}", "renew it")
    elif end_s - now_s < SOON_S:
        left = int((end_s - now_s) / DAY_S)
        yield Finding(
            Harm.WARNING, where, f"{what} ends on {day}, in {left} days", "renew it before"
        )


def _certificate_of_acme(listener: Listener, configured: Configured) -> Iterator[Finding]:
    acme = listener.tls.acme
    if acme is not None and configured.state is None and not os.environ.get("STATE_DIRECTORY"):
        yield Finding(
            Harm.WARNING,
            f"listeners.{listener.name}",
            "certificates that are fetched are lost when it stops; authorities issue few a week",
            "`state: DIRECTORY` in the file, or StateDirectory= in its systemd unit",
        )


def _address(where: str, host: str, port: int, protocol: str, running: bool) -> Iterator[Finding]:
    path = socket_path(host)
    if path:
        folder = Path(path).parent
        if not folder.is_dir() or not os.access(folder, os.W_OK):
            yield Finding(
                Harm.ERROR, where, f"{folder} cannot be written to", "make it, for this user"
            )
        return
    problem = _bind(host, port, protocol)
    if problem is None or (problem.errno == errno.EADDRINUSE and running):
        return
    what, do = _WHY.get(problem.errno or 0, (problem.strerror or str(problem), ""))
    yield Finding(Harm.ERROR, where, f"{shown_address(host, port)}: {what}", do)


def _bind(host: str, port: int, protocol: str) -> OSError | None:
    """Why it cannot be listened on; nothing is accepted meanwhile."""
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    try:
        found = socket.getaddrinfo(host, port, type=kind, flags=socket.AI_PASSIVE)[0]
        with socket.socket(found[0], kind) as sock:
            if kind == socket.SOCK_STREAM:  # what has just ended does not count
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(found[4])
    except OSError as error:
        return error
    return None


def _end_of(pair: Certificate) -> float | None:
    """When it ends, in seconds; None where it cannot be told."""
    file = Path(pair.certificate)
    try:
        return end_of_certificate(file, check_certificate(file, Path(pair.key)))
    except ValueError:
        return None
