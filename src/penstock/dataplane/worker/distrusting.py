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
from penstock.dataplane.client.challenge import ChallengedClient
from penstock.dataplane.client.proxied import ProxiedClient
from penstock.dataplane.io.connection import Connection
from penstock.dataplane.io.loop import Chore, Loop, Pollable
from penstock.wire.client_trust import ClientTrust

_BYTES_A_SWEEP: Final = 16 * 1024 * 1024  # of lists that are looked through: some milliseconds


class _Look:
    """At the clients of one listener, by what its files say now."""

    def __init__(self, listener: str, trust: ClientTrust, waiting: list[Pollable]) -> None:
        self.listener: str = listener
        self.trust: ClientTrust = trust
        self.waiting: list[Pollable] = waiting


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
        waiting: list[Pollable] = [
            each
            for each in self._loop.by_fd.values()
            if isinstance(each, (Connection, ProxiedClient, ChallengedClient))
        ]
        self._looks = [each for each in self._looks if each.listener != listener]
        self._looks.append(_Look(listener, trust, waiting))

    def on_sweep(self, now: float) -> None:
        if self._looks:
            self._looks = [each for each in self._looks if self._goes_on(each)]

    def _goes_on(self, look: _Look) -> bool:
        """Look at some; whether there are more."""
        left = _BYTES_A_SWEEP
        waiting = look.waiting
        later: list[Pollable] = []  # whose handshakes go by the files as they were
        while waiting and left > 0:
            item = waiting.pop()
            now_there = self._loop.by_fd.get(item.fd)
            if now_there is not item:  # it left, or became another, as one of HTTP/2 does
                if isinstance(now_there, Connection):
                    waiting.append(now_there)
            elif not isinstance(item, Connection):
                later.append(item)
            elif item.tls is not None and item.tls.listener == look.listener:
                if item.tls.established:
                    left -= look.trust.lists_bytes() + 1024
                    self._look_at(item, look.trust, item.tls.verified_chain())
                else:
                    later.append(item)
        look.waiting = waiting + later
        return bool(look.waiting)

    def _look_at(self, connection: Connection, trust: ClientTrust, chain: list[bytes]) -> None:
        if chain and not trust.holds(chain):
            self._counters.bump(W_DISTRUSTED)
            connection.distrust()
