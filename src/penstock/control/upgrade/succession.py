"""One supervisor between its predecessor and its successor: what it takes, and what it gives."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from typing import Final

import msgspec

from penstock.admin.server import AdminServer
from penstock.config.compile.configured import AdminSettings
from penstock.control.parts import Parts
from penstock.control.upgrade.borrowing import Borrowers, Borrowing
from penstock.control.upgrade.estate import expect, memo_of, offer_of, take_over
from penstock.control.upgrade.learned import ask_learned, tell_learned
from penstock.control.upgrade.messages import HandedBoard, HandedLeaving, Hello, Offer, Yours
from penstock.control.upgrade.predecessor import HandoverError, Predecessor
from penstock.control.workers.indexes import Leaving
from penstock.control.workers.takeover import (
    Process,
    end_workers,
    identify,
    is_running,
    signal_process,
)
from penstock.dataplane.board.layout import H_SUPERVISOR_PID, SECTIONS

_LOOK_S: Final = 0.5  # for workers of other versions that have finished


@dataclass(frozen=True, kw_only=True)
class Inner:
    """Of the supervisor what only an upgrade has to do with."""

    admin: AdminServer
    admin_settings: AdminSettings
    begin_tasks: Callable[[], None]
    end_tasks: Callable[[], Awaitable[None]]
    reload: Callable[[], None]


class Succession:
    """``left`` is set once a successor serves."""

    def __init__(self, parts: Parts, inner: Inner, predecessor: Predecessor | None) -> None:
        self.left = asyncio.Event()
        self._parts = parts
        self._inner = inner
        self._predecessor = predecessor
        self._reload_wanted = False
        self._borrowers = Borrowers(parts.workers.lending.lend, parts.limits.forget)
        self._borrowing: Borrowing | None = None
        parts.publisher.rows_stay = lambda: bool(parts.indexes.leaving)

    # --- from the predecessor ---------------------------------------------------------------

    async def expect(self) -> None:
        """Begin where it stands. Until it gives up, what both share is changed by it alone."""
        parts = self._parts
        if self._predecessor is None:
            await parts.workers.count_indexes(*parts.indexes.counted())
            return
        offer = self._predecessor.offer
        parts.publisher.go_on_from(offer.instance, offer.generation)
        parts.publisher.hushed = True
        parts.workers.datagrams_held = True
        parts.workers.lending.hold()
        board = offer.board
        if board is not None:
            parts.rows.go_on_from(board.rows, offer.generation)
            parts.states.leave_alone(row for _, _, row in board.rows.endpoints)
            leaving = [Leaving(*each.indexes, tuple(each.workers)) for each in board.leaving]
            leaving.append(Leaving(*board.own, tuple(offer.workers)))
            parts.indexes.inherit(leaving)
        else:
            parts.events.warning(
                "upgrade.own_board",
                f"workers of the version before count for themselves: {offer.no_board_because}; "
                "until they have finished, max_in_flight and limits of connections hold for each "
                "version alone",
            )
        await parts.workers.count_indexes(*parts.indexes.counted())
        expect(offer.memo, parts)

    async def take_over(self, open_admin: Callable[[], Awaitable[None]]) -> None:
        """Our workers serve. Raises HandoverError where the predecessor goes on itself."""
        predecessor = self._predecessor
        if predecessor is None:
            return
        parts, offer = self._parts, predecessor.offer
        try:
            yours = await predecessor.tell_ready()
        except HandoverError:
            parts.workers.lending.go_on()
            raise
        if yours is not None:
            self._parts.indexes.are_now(offer.workers, yours.workers)
        take_over(yours, offer, parts, self._borrowers)
        if offer.board is None:
            others = [offer.supervisor, *offer.workers, *(yours.workers if yours else ())]
            parts.scaling.others_finish = lambda: any(map(is_running, others))
        self._parts.board.cells[H_SUPERVISOR_PID] = os.getpid()
        self._parts.exact.clear()
        parts.states.write_all()
        await tell_learned(parts.workers, yours.memo.learned if yours is not None else {})
        await parts.workers.take_datagrams(yours.sessions if yours is not None else ())
        await open_admin()
        parts.publisher.tell_followers()  # who owns limits among them
        parts.workers.lending.go_on()
        await predecessor.tell_taken()
        predecessor.close()
        text = f"took over from penstock {offer.version} (pid {offer.supervisor.pid})"
        parts.events.info("taken_over", text, pid=offer.supervisor.pid, by=os.getpid())
        if predecessor.died:
            relieving = end_workers(offer.workers, signal.SIGUSR2)
            self._parts.background.begin("relieving workers", relieving)
        if yours is not None and yours.reload:
            self._inner.reload()

    def stop_predecessor(self) -> None:
        """One that still finishes is to stop as we do."""
        if self._predecessor is not None:
            signal_process(self._predecessor.offer.supervisor, signal.SIGTERM)

    async def until_predecessor_ended(self, at_most_s: float) -> None:
        """Wait for it, as our end may be that of the whole service."""
        if self._predecessor is None or self.left.is_set():
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(at_most_s):
                while is_running(self._predecessor.offer.supervisor):  # noqa: ASYNC110
                    await asyncio.sleep(_LOOK_S)

    async def watch_leaving(self) -> None:
        """Runs until cancelled: count workers of other versions no more when they are gone."""
        indexes = self._parts.indexes
        while True:
            self._borrowers.forget_ended()
            if indexes.leaving and indexes.look():
                await self._parts.workers.count_indexes(*indexes.counted())
            await asyncio.sleep(_LOOK_S)

    # --- to the successor (Handing) ---------------------------------------------------------

    def frozen(self) -> AbstractAsyncContextManager[None]:
        return self._parts.publisher.held()

    async def offer(self, hello: Hello) -> tuple[Offer, list[int]]:
        inner = self._inner
        settings = inner.admin_settings
        admin = None
        if settings.host is not None and inner.admin.fd >= 0:
            admin = ((settings.host, settings.port), inner.admin.fd)
        shared = self._share_board(hello)
        if not isinstance(shared, str):
            await self._parts.workers.count_indexes(*self._parts.indexes.counted())
        return offer_of(self._parts, self._parts.runtime.me, admin, shared)

    async def give_up(self) -> Yours:
        self._reload_wanted = self._parts.reloader.under_way
        await self._inner.end_tasks()
        self._parts.workers.lending.hold()
        workers = [identify(pid) for pid in self._parts.workers.pids]
        sessions = await self._parts.workers.give_up_datagrams()
        told = msgspec.convert(sessions, list[tuple[str, str, int, str]])
        memo = memo_of(self._parts)
        memo.learned = await ask_learned(self._parts.workers)
        return Yours(memo, self._reload_wanted, workers, told)

    async def resume(self) -> None:
        self._parts.workers.lending.go_on()
        await self._parts.workers.take_datagrams(())
        self._parts.publisher.tell_followers()
        self._inner.begin_tasks()
        if self._reload_wanted:
            self._inner.reload()

    def forget(self, successor: Process) -> None:
        workers = self._parts.runtime.workers_of(successor)
        lent = self._parts.indexes.came_to_nothing(workers)
        work = self._relieve(successor, workers, lent)
        self._parts.background.begin("relieving workers", work)

    def borrowers(self) -> Borrowers:
        return self._borrowers

    async def finish_borrowing(self) -> None:
        """Our last worker ended."""
        if self._borrowing is not None:
            await self._borrowing.finish()

    def leave(self, successor: int) -> None:
        parts = self._parts
        self._borrowing = Borrowing(
            parts.runtime.upgrade_socket_of(identify(successor)), os.getpid(), parts.limits.lend
        )
        parts.workers.lending.elsewhere = self._borrowing.lend
        parts.workers.lending.go_on()
        self._parts.service_manager.succeeded_by(successor)
        self._parts.publisher.refuse_all("another version of Penstock took over")
        self._parts.sockets.leave_files()
        self._parts.workers.cleans_up = False
        self.left.set()

    def _share_board(self, hello: Hello) -> tuple[HandedBoard, int] | str:
        if hello.layouts != dict(SECTIONS):
            return "their board is laid out otherwise"
        parts = self._parts
        lent = parts.indexes.lend(hello.workers)
        if lent is None:
            return "the board has no room for further workers while others finish"
        leaving = [
            HandedLeaving((each.first, each.end), list(each.processes))
            for each in parts.indexes.leaving
        ]
        own = (parts.indexes.first, parts.indexes.end)
        return HandedBoard(lent, own, leaving, parts.rows.given()), parts.board.fd

    async def _relieve(
        self, successor: Process, workers: tuple[Process, ...], lent: tuple[int, int] | None
    ) -> None:
        await end_workers(workers, signal.SIGUSR2)
        self._parts.runtime.forget(successor)
        if lent is not None:
            async with self._parts.publisher.held():
                self._parts.rows.clean(range(*lent))
