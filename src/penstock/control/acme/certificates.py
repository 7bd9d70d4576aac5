"""The certificates of listeners that fetch theirs: ordered, kept, renewed, and told to workers.

One is in the store as JSON, for whoever shares it, and for workers in a file with the key and the
chain, which only our user reads. A failure never takes one away that works.
"""

import asyncio
import os
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from random import Random
from time import time
from typing import Final

import msgspec

from penstock.config.compile.certificates import check_certificate
from penstock.control.acme.ordering import Answers, Ordered, OrderError, order, validity
from penstock.control.acme.renewal import due_at, wait_after
from penstock.control.background import Sleep, keep
from penstock.control.events import Events
from penstock.control.store.files import write_whole
from penstock.control.store.store import NOT_THERE, Store, StoreError
from penstock.control.world.publish import PublishError
from penstock.core.snapshot import (
    Acme,
    Certificate,
    FixedResponse,
    Listener,
    Match,
    Route,
    Snapshot,
)

PATH: Final = "/.well-known/acme-challenge/"
_ROUTE: Final = "acme-challenge"  # of a token; operators' routes have other names
_LEASE_S: Final = 600.0  # longer than an order takes
_ELSEWHERE_S: Final = 15.0  # between two looks while another balancer orders
_SHORTEST_SLEEP_S: Final = 15.0
_LONGEST_SLEEP_S: Final = 3600.0  # clocks are set, and machines sleep
_NONE_YET: Final = "its certificate is being ordered"
_TOLD_S: Final = 2.0  # until the others answer for it too
_MOST_TOKENS: Final = 100
# RFC 8555, 8.1 and 8.3: both are base64url.
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{16,80}")
_ANSWER: Final = re.compile(r"[A-Za-z0-9_-]{16,80}\.[A-Za-z0-9_-]{16,128}")
Ordering = Callable[[Acme, str, Callable[[Answers], None]], Ordered]


class FetchedCertificates:
    """``problem`` says what is wrong with a listener's."""

    def __init__(
        self,
        store: Store,
        directory: Path,
        events: Events,
        refresh: Callable[[], Awaitable[None]],
        *,
        ordering: Ordering = order,
        wall_clock: Callable[[], float] = time,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """``refresh`` publishes once more what runs, and returns when workers know it."""
        self._store = store
        self._directory = directory
        self._events = events
        self._refresh = refresh
        self._ordering = ordering
        self._wall_clock = wall_clock
        self._sleep = sleep
        self._rng = Random()
        # Tells other balancers of a token and its answer, or that it is done with; whoever asks for
        # it may come to any of them.
        self.tell: Callable[[str, str | None], None] | None = None
        self._holder = f"{os.getpid()}-{self._rng.getrandbits(64):x}"
        self._tokens: dict[str, str] = {}
        self._challenges: dict[Acme, tuple[Certificate, ...]] = {}
        self._tasks: dict[Acme, asyncio.Task[None]] = {}
        self._problems: dict[Acme, str] = {}
        self._listeners: dict[str, Acme] = {}
        self._tried: dict[
            Path, tuple[int, int, bool]
        ] = {}  # a file as it was, and whether it loads

    # --- what workers are told --------------------------------------------------------------

    def mark(self, spec: Snapshot) -> Snapshot:
        """``spec`` with the certificates that there are, and the tokens before all its routes."""
        routes = tuple(each for each in spec.routes if not each.name.startswith(_ROUTE))
        if not self._tokens and not any(each.tls.acme for each in spec.listeners):
            return (
                spec
                if len(routes) == len(spec.routes)
                else msgspec.structs.replace(spec, routes=routes, tokens={})
            )
        return msgspec.structs.replace(
            spec,
            listeners=tuple(self._mark_listener(each) for each in spec.listeners),
            routes=(*(_answer(*each) for each in self._tokens.items()), *routes),
            tokens={PATH + token: text for token, text in self._tokens.items()},
        )

    def problem(self, listener: str) -> str:
        """Why its handshakes fail, or its certificate is not renewed; empty: all is well."""
        acme = self._listeners.get(listener)
        return self._problems.get(acme, "") if acme is not None else ""

    def _mark_listener(self, listener: Listener) -> Listener:
        acme = listener.tls.acme
        if acme is None:
            return listener
        file = self._file(acme)
        found = (Certificate(str(file), str(file)),) if self._loads(file) else ()
        challenges = self._challenges.get(acme, ())
        return msgspec.structs.replace(listener, certificates=found, challenges=challenges)

    def _loads(self, file: Path) -> bool:
        try:
            stat = file.stat()
        except OSError:
            return False
        known = self._tried.get(file)
        if known is None or known[:2] != (stat.st_mtime_ns, stat.st_ino):
            try:
                check_certificate(file, file)
                loads = True
            except ValueError as error:
                self._events.error("acme.damaged", f"{error}; another one is ordered")
                loads = False
            known = self._tried[file] = (stat.st_mtime_ns, stat.st_ino, loads)
        return known[2]

    # --- what is wanted ---------------------------------------------------------------------

    def configure(self, snapshot: Snapshot) -> None:
        """Follow the running snapshot. Listeners of the same names share a certificate."""
        self._listeners = {
            each.name: each.tls.acme for each in snapshot.listeners if each.tls.acme is not None
        }
        wanted = set(self._listeners.values())
        for acme in [acme for acme in self._tasks if acme not in wanted]:
            self._tasks.pop(acme).cancel()
            self._problems.pop(acme, None)
        for acme in wanted - set(self._tasks):
            if not self._loads(self._file(acme)):
                self._problems[acme] = _NONE_YET
            what = f"the certificate for {acme.names[0]}"

            def work(acme: Acme = acme) -> "asyncio._CoroutineLike[None]":
                return self._keep(acme)

            self._tasks[acme] = asyncio.create_task(keep(what, work, self._events))  # type: ignore[arg-type]

    async def stop(self) -> None:
        """Order no more. One that is under way ends with its process, and is begun anew."""
        tasks = list(self._tasks.values())
        self._tasks = {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- one certificate --------------------------------------------------------------------

    async def _keep(self, acme: Acme) -> None:
        """Runs until cancelled."""
        failures = 0
        while True:
            try:
                wait_s = await self._look(acme)
                failures = 0
            except (OrderError, StoreError, OSError) as error:
                failures += 1
                with suppress(PublishError):
                    await self._refresh()  # nobody is to look for the authority any more
                wait_s = wait_after(failures, self._rng)
                self._note_failure(acme, str(error), wait_s)
            await self._sleep(min(max(wait_s, _SHORTEST_SLEEP_S), _LONGEST_SLEEP_S))

    async def _look(self, acme: Acme) -> float:
        """Take what the store has, or order if it is due; seconds until the next look.

        Raises OrderError, StoreError and OSError.
        """
        entry = await self._store.get(key_of(acme))
        if entry is not None:
            pem = entry.value.decode()
            await self._use(acme, pem)
            left_s = _due_at(pem) - self._wall_clock()
            if left_s > 0.0:
                self._problems.pop(acme, None)
                return left_s
        lease = key_of(acme)
        if not await self._store.lease(lease, self._holder, _LEASE_S):
            return _ELSEWHERE_S
        try:
            pem = await self._order(acme)
            revision = entry.revision if entry is not None else NOT_THERE
            await self._store.put_if_unchanged(key_of(acme), pem.encode(), revision)
        finally:
            await self._store.release(lease, self._holder)
        await self._use(acme, pem)
        self._problems.pop(acme, None)
        names = ", ".join(acme.names)
        until = validity(pem)[1]
        text = f"a certificate for {names} was issued by {acme.directory}"
        self._events.info("acme.issued", text, names=names, until=until)
        return _due_at(pem) - self._wall_clock()

    async def _order(self, acme: Acme) -> str:
        account_at = f"acme/accounts/{_digest(acme.directory)}"
        account = await self._store.get(account_at)
        loop = asyncio.get_running_loop()
        published: list[Answers] = []

        def publish(answers: Answers) -> None:
            published.append(answers)
            shown = self._write_challenges(answers.certificates)
            publishing = self._publish(acme, answers.tokens, shown)
            asyncio.run_coroutine_threadsafe(publishing, loop).result(_LEASE_S)

        key = account.value.decode() if account is not None else ""
        try:
            ordered = await asyncio.to_thread(self._ordering, acme, key, publish)
        finally:
            for answers in published:
                for token in answers.tokens:
                    self._tokens.pop(token, None)
                    if self.tell is not None:
                        self.tell(token, None)
            for challenge in self._challenges.pop(acme, ()):
                os.unlink(challenge.certificate)
        if account is None:
            await self._store.put_if_unchanged(account_at, ordered.account_key.encode(), NOT_THERE)
        return ordered.pem

    async def _publish(
        self, acme: Acme, tokens: dict[str, str], shown: tuple[Certificate, ...]
    ) -> None:
        self._tokens |= tokens
        if shown:
            self._challenges[acme] = shown
        await self._refresh()
        if self.tell is not None and tokens:
            for token, text in tokens.items():
                self.tell(token, text)
            await self._sleep(_TOLD_S)

    async def hear(self, token: str, text: str | None) -> None:
        """Another balancer orders; None: no longer."""
        if text is None:
            if self._tokens.pop(token, None) is not None:
                await self._refresh()
            return
        if not _TOKEN.fullmatch(token) or not _ANSWER.fullmatch(text):
            text = "what another balancer says is no token of an authority: it is not answered for"
            self._events.warning("acme.refused", text)
        elif self._tokens.get(token) != text and len(self._tokens) < _MOST_TOKENS:
            self._tokens[token] = text
            await self._refresh()

    def _write_challenges(self, certificates: dict[str, str]) -> tuple[Certificate, ...]:
        """As workers read them; called in a thread."""
        shown = []
        for name, pem in certificates.items():
            file = self._directory / f"acme-challenge-{_digest(name)}.pem"
            write_whole(file, pem.encode())
            shown.append(Certificate(str(file), str(file), (name,)))
        return tuple(shown)

    async def _use(self, acme: Acme, pem: str) -> None:
        """Have workers use it, if they do not yet; tokens that are not needed any more go too."""
        file = self._file(acme)
        if file.exists() and file.read_text() == pem:
            return
        await asyncio.to_thread(write_whole, file, pem.encode())
        await self._refresh()

    def _note_failure(self, acme: Acme, reason: str, wait_s: float) -> None:
        names = ", ".join(acme.names)
        what = "is not renewed" if self._loads(self._file(acme)) else "is not there yet"
        text = f"the certificate for {names} {what}: {reason}; next try in {wait_s / 60.0:.0f} min"
        self._problems[acme] = text
        self._events.error("acme.failed", text, names=names)

    def _file(self, acme: Acme) -> Path:
        return self._directory / f"acme-{_digest_of(acme)}.pem"


def _answer(token: str, text: str) -> Route:
    match = Match(path_kind="exact", path=PATH + token, methods=("GET", "HEAD"))
    response = FixedResponse(200, text, "application/octet-stream")
    return Route(f"{_ROUTE}-{token}", match, respond=response)


def _due_at(pem: str) -> float:
    """The same whenever it is asked for."""
    return due_at(*validity(pem), Random(pem))


def key_of(acme: Acme) -> str:
    """Of its certificate in the store, and of the lease to order it."""
    return f"acme/certificates/{_digest_of(acme)}"


def _digest_of(acme: Acme) -> str:
    return _digest(" ".join([acme.directory, *sorted(acme.names)]))


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:24]
