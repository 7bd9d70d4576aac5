"""The supervisor: starts the workers, keeps them up to date, stops. Read ``serve`` first.

It is never on a request's path: when it dies, workers serve on with what they know, and its
successor takes over (``takeover.py``).
"""

import asyncio
import os
import resource
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from time import time
from typing import Any, Final

from prometheus_client.core import Metric

from penstock import __version__
from penstock._form import form
from penstock.admin.metrics import families
from penstock.admin.server import AdminServer
from penstock.admin.view import Overview, PlacedPool, Tenancy
from penstock.config.compile.configured import Configured
from penstock.control.admin_address import AdminAddress
from penstock.control.assembly import absolute, assemble, places, write_runtime_file
from penstock.control.chores import Chores
from penstock.control.commands import bound
from penstock.control.events import configure_logging
from penstock.control.overview import overview
from penstock.control.service_manager import (
    ADMIN,
    ActivationError,
    given_sockets,
)
from penstock.control.tenants.tenancy import tenancy
from penstock.control.upgrade.handover import Handover
from penstock.control.upgrade.predecessor import VARIABLE, HandoverError, Predecessor, meet
from penstock.control.upgrade.succession import Inner, Succession
from penstock.control.workers.sockets import place_of
from penstock.control.workers.workers import StartError
from penstock.core.snapshot.address import shown_url
from penstock.dataplane.board.memory import Board
from penstock.dataplane.record.line_writer import LineWriter
from penstock.dataplane.worker.messages import LINGER_S

_LAST_LINES_S: Final = 1.0  # to write what the log still holds at the end


def run(
    configured: Configured, reread: Callable[[], Configured], arguments: Sequence[str] = ()
) -> int:
    """Serve until told to stop; returns the exit code. ``reread`` reads the configuration again.

    ``arguments`` of the command line start a successor, at an upgrade.
    """
    log = configure_logging()
    succeeded = os.environ.pop(VARIABLE, "")
    predecessor = None
    try:
        if succeeded:
            source = absolute(configured.source)
            predecessor = meet(succeeded, configured.workers, source)
        asyncio.run(Supervisor(configured, reread, log, arguments, predecessor).serve())
    except (StartError, HandoverError, ActivationError) as error:
        if predecessor is not None:
            predecessor.tell_failed(str(error))
        log.join(_LAST_LINES_S)
        print(f"Error: {error}", file=sys.stderr)
        return 1
    finally:
        log.join(_LAST_LINES_S)
    return 0


class Supervisor:
    """Also what the admin server shows (``admin.view.RunningBalancer``)."""

    def __init__(
        self,
        configured: Configured,
        reread: Callable[[], Configured],
        log: LineWriter,
        arguments: Sequence[str] = (),
        predecessor: Predecessor | None = None,
    ) -> None:
        self._log = log
        self._predecessor = predecessor
        self._configured = configured
        self._started_at = time()
        self._stop_wanted = asyncio.Event()
        self._stop_now = asyncio.Event()
        given = given_sockets()
        self._given_admin = given.get(ADMIN)
        self._parts = assemble(configured, reread, given, predecessor, self.stop)
        self._chores = Chores(self._parts)
        admin = configured.admin
        self._admin = AdminServer(self, bound(self._parts), admin.token, admin.read_token)
        self._admin_address = AdminAddress(self._admin, admin, self._parts.events)
        inner = Inner(
            admin=self._admin,
            admin_settings=configured.admin,
            begin_tasks=self._begin_tasks,
            end_tasks=self._chores.end,
            reload=self._on_hangup,
        )
        self._succession = Succession(self._parts, inner, predecessor)
        self._handover = Handover(
            self._succession, self._parts.runtime.upgrade_socket, arguments, self._parts.events
        )

    @property
    def board(self) -> Board:
        """Its counters."""
        return self._parts.board

    async def serve(self) -> None:
        """Serve from start to stop. Raises StartError."""
        raise_descriptor_limit()
        self._listen_to_signals()
        for warning in self._configured.warnings:
            self._parts.events.warning("configuration", warning)
        try:
            if self._predecessor is None:
                await self._open_admin()
            await self._succession.expect()
            await self._until_stopped(self._start_workers())
            if not self._stop_wanted.is_set():
                try:
                    await self._succession.take_over(self._open_admin)
                except HandoverError:
                    await self._stop_workers()
                    raise
                self._begin_tasks()
                self._handover.listen()
                self._parts.service_manager.ready()
                self._parts.background.begin(
                    "relieving orphans", self._parts.runtime.relieve_orphans(places(self._parts))
                )
                await self._until_over()
            self._parts.reloader.refuse_all("the balancer is stopping")
            await self._chores.end()
            self._parts.forecasts.save()
            self._parts.limits.frozen = self._succession.left.is_set()
            await self._stop_workers()
            await self._succession.finish_borrowing()
            self._parts.limits.save()
            self._parts.usage.save()
        finally:
            await self._handover.stop()
            await self._chores.end()
            await self._end_scaling()
            await self._parts.spans.close()
            await self._parts.metrics.close(self._families)
            await self._admin_address.close(left=self._succession.left.is_set())
        self._parts.events.info("stopped", "stopped")

    async def _end_scaling(self) -> None:
        """After the workers: whoever has a request at an endpoint keeps it."""
        if self._succession.left.is_set():
            await self._parts.scaling.leave()
        else:
            await self._parts.scaling.stop()

    def _begin_tasks(self) -> None:
        self._chores.begin()
        self._parts.background.keep("pushing metrics", self._push_metrics)
        self._parts.background.keep("rates", self._admin.sample)
        self._parts.background.keep("workers of other versions", self._succession.watch_leaving)

    async def _push_metrics(self) -> None:
        await self._parts.metrics.run(self._families)

    def _families(self) -> Iterator[Metric]:
        return families(self.overview(), self._parts.board)

    async def _until_over(self) -> None:
        """Until it is told to stop, or a successor serves."""
        ends = [
            asyncio.ensure_future(each.wait())
            for each in (self._stop_wanted, self._succession.left)
        ]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()

    # --- what the admin server shows --------------------------------------------------------

    def overview(self) -> Overview:
        """The balancer at this moment."""
        return overview(
            self._parts,
            started_at=self._started_at,
            stopping=self._stop_wanted.is_set(),
            log_dropped=self._log.dropped,
        )

    def pools(self) -> Sequence[PlacedPool]:
        """Of the snapshot that runs."""
        return self._parts.publisher.running.pools

    def tenancy(self) -> Tenancy:
        """Its tenants and limits at this moment."""
        parts = self._parts
        return tenancy(parts.publisher.running, parts.limits, parts.usage)

    def stop(self) -> None:
        """Begin to stop; if called again, stop at once."""
        if self._stop_wanted.is_set():
            self._stop_now.set()
        self._stop_wanted.set()

    # --- start and stop ---------------------------------------------------------------------

    async def _open_admin(self) -> None:
        await self._admin_address.open(self._given_admin, self._predecessor)

    async def _start_workers(self) -> None:
        additions = self._parts.additions
        self._parts.api_endpoints.load()
        additions.load()
        try:
            await self._parts.publisher.start(additions.extended(self._configured).snapshot)
        except StartError as error:
            owners = {
                self._parts.runtime.owner(place_of(each))
                for each in self._configured.snapshot.listeners
            }
            pids = ", ".join(str(pid) for pid in sorted(owners - {0}))
            hint = f" (Penstock is already running there: pid {pids})" if pids else ""
            raise StartError(f"{error}{hint}") from error
        additions.configure(self._configured)
        running = self._parts.publisher.running
        addresses = ", ".join(
            shown_url(each.scheme, *self._parts.sockets.address(each)) for each in running.listeners
        )
        workers = len(self._parts.workers.all)
        self._parts.events.info(
            "started",
            f"penstock {__version__} ({form()}) serves {addresses}, workers: {workers}",
            addresses=addresses,
            workers=workers,
        )
        write_runtime_file(self._parts)

    async def _until_stopped(self, work: Coroutine[Any, Any, None]) -> None:
        """Do the work, or cancel it when the balancer is told to stop."""
        task = asyncio.create_task(work)
        stop = asyncio.create_task(self._stop_wanted.wait())
        await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if task.done():
            task.result()
        else:
            task.cancel()
            await asyncio.wait({task})

    async def _stop_workers(self) -> None:
        deadline_s = self._parts.reloader.configured.shutdown_deadline_s
        linger_s = 0.0
        if not self._succession.left.is_set():
            self._parts.service_manager.stopping()
        else:
            await self._admin_address.close(left=True)
            deadline_s = self._parts.reloader.configured.upgrade_deadline_s
            linger_s = LINGER_S
        self._parts.events.info("stopping", f"stopping; running requests have {deadline_s:g} s")
        stopping = asyncio.create_task(self._parts.workers.stop(deadline_s, linger_s))
        self._parts.sockets.close_all()  # or clients would wait in queues that nobody serves
        hurry = asyncio.create_task(self._hurried())
        await asyncio.wait({stopping, hurry}, return_when=asyncio.FIRST_COMPLETED)
        if not stopping.done():
            self._parts.events.warning(
                "stopped_at_once", "deadline reached: cutting running requests"
            )
            await self._parts.workers.kill()
        await stopping
        await self._succession.until_predecessor_ended(deadline_s)
        hurry.cancel()
        self._parts.runtime.remove()

    async def _hurried(self) -> None:
        """Until it is to end at once. One that a successor has relieved has more time, until it is
        told to stop like any other."""
        await self._stop_wanted.wait()
        self._succession.stop_predecessor()
        if self._succession.left.is_set():
            deadline_s = self._parts.reloader.configured.shutdown_deadline_s
            await self._parts.workers.send_all({"kind": "stop", "deadline_s": deadline_s})
        await self._stop_now.wait()

    # --- what goes on meanwhile -------------------------------------------------------------

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, self._on_hangup)
        loop.add_signal_handler(signal.SIGUSR1, self._on_reopen)
        loop.add_signal_handler(signal.SIGUSR2, self._handover.begin)

    def _on_hangup(self) -> None:
        self._parts.background.begin("reloading", self._reload_on_signal())

    async def _reload_on_signal(self) -> None:
        await self._parts.reloader.reload("SIGHUP")

    def _on_reopen(self) -> None:
        reopening = self._parts.workers.send_all({"kind": "reopen_log"})
        self._parts.background.begin("reopening the request log", reopening)


def raise_descriptor_limit() -> None:
    """Allow as many descriptors as the system does; workers inherit the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
