"""Clients that were let in by a certificate which newer files do not vouch for any more.

A listener's authorities and revocation lists are asked in handshakes, by OpenSSL. When they change,
those who are here already are looked at once more, some at each sweep: a list of a million entries
takes milliseconds for each.
"""

from pathlib import Path
from typing import Final

from penstock.core.snapshot import ListenerTls
from penstock.dataplane.board.counters import WorkerCounters
from penstock.dataplane.board.layout import W_DISTRUSTED
from penstock.dataplane.io.connection import Connection
from penstock.dataplane.io.loop import Chore, Loop
from penstock.wire.client_trust import ClientTrust

_BYTES_A_SWEEP: Final = 16 * 1024 * 1024  # of lists that are looked through: some milliseconds


class _Look:
    """At the clients of one listener, by what its files say now."""

    def __init__(self, listener: str, trust: ClientTrust, waiting: list[Connection]) -> None:
        self.listener: str = listener
        self.trust: ClientTrust = trust
        self.waiting: list[Connection] = waiting


class Distrusting(Chore):
    """All looks under way in one worker."""

    def __init__(self, loop: Loop, counters: WorkerCounters) -> None:
        self._loop: Loop = loop
        self._counters: WorkerCounters = counters
        self._looks: list[_Look] = []

    def changed(self, listener: str, tls: ListenerTls) -> None:
        """Other files vouch for the clients of that listener. Raises OSError or ValueError where
        they cannot be read, and then nobody is looked at."""
        if not tls.client_ca_file:
            return
        authorities = Path(tls.client_ca_file).read_bytes()
        revocations = Path(tls.crl_file).read_bytes() if tls.crl_file else b""
        trust = ClientTrust(authorities, revocations)
        waiting = [each for each in self._loop.by_fd.values() if isinstance(each, Connection)]
        self._looks = [each for each in self._looks if each.listener != listener]
        self._looks.append(_Look(listener, trust, waiting))

    def on_sweep(self, now: float) -> None:
        if self._looks:
            self._looks = [each for each in self._looks if self._goes_on(each)]

    def _goes_on(self, look: _Look) -> bool:
        """Look at some; whether there are more."""
        left = _BYTES_A_SWEEP
        waiting = look.waiting
        later: list[Connection] = []  # whose handshakes began by the files as they were
        while waiting and left > 0:
            connection = waiting.pop()
            tls = connection.tls
            if not connection.open or tls is None or tls.listener != look.listener:
                now_there = self._loop.by_fd.get(connection.fd)
                if connection.open or now_there is None or now_there is connection:
                    continue
                # It became another, as one that speaks HTTP/2 does.
                if isinstance(now_there, Connection) and now_there.tls is not None:
                    waiting.append(now_there)
                continue
            if not tls.established:
                later.append(connection)
                continue
            left -= look.trust.lists_bytes() + 1024
            self._look_at(connection, look.trust, tls.verified_chain())
        look.waiting = waiting + later
        return bool(look.waiting)

    def _look_at(self, connection: Connection, trust: ClientTrust, chain: list[bytes]) -> None:
        if chain and not trust.holds(chain):
            self._counters.bump(W_DISTRUSTED)
            connection.distrust()
