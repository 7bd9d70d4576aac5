"""The supervisor: starts the workers, keeps the world up to date, stops. Read ``serve`` first.

It is never on a request's path: when it dies, workers serve on with what they know, and its
successor takes over (``takeover.py``).
"""

import asyncio
import os
import resource
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from time import monotonic, time
from typing import Any, Final

from penstock import __version__
from penstock._form import form
from penstock.admin.server import AdminServer
from penstock.admin.view import Overview, ReloadView
from penstock.config.compile.snapshot import Configured
from penstock.control.endpoints.addresses import Addresses
from penstock.control.endpoints.agents import AgentChecks
from penstock.control.endpoints.checks import HealthChecks
from penstock.control.endpoints.outliers import OutlierDetection
from penstock.control.endpoints.parity import ParityWatch
from penstock.control.endpoints.probes import Prober
from penstock.control.endpoints.reconnecting import Reconnecting
from penstock.control.endpoints.resolver import SystemResolver
from penstock.control.endpoints.states import EndpointStates
from penstock.control.engines.exact_index import ExactIndex
from penstock.control.engines.kv_events import KvEventReaders
from penstock.control.engines.loads import EngineLoads
from penstock.control.engines.models import EngineModels
from penstock.control.events import Events, configure_logging
from penstock.control.overview import overview
from penstock.control.workers.sockets import ListeningSockets, shown_address
from penstock.control.workers.takeover import RuntimeFile, runtime_directory
from penstock.control.workers.workers import StartError, Workers
from penstock.control.world.certificates import CertificateFiles, EndpointContexts, try_files
from penstock.control.world.publish import Publisher, PublishError
from penstock.control.world.reload import Reloader
from penstock.control.world.rows import Rows
from penstock.core.health.slow_start import RAMP_S
from penstock.dataplane.board.layout import H_SUPERVISOR_PID, Board, create_board
from penstock.dataplane.record.line_writer import LineWriter

_CERTIFICATES_S: Final = 2.0  # between two looks at the files
_RECLAIM_S: Final = 1.0
_AFTER_A_BUG_S: Final = 1.0
_SHOWN_EVENTS: Final = 100
_LAST_LINES_S: Final = 1.0  # to write what the log still holds at the end
# Room for a configuration to grow by reloads. Rows cost memory only once they are used.
_LEAST_ENDPOINT_ROWS: Final = 4096
_LEAST_POOL_ROWS: Final = 256
_GROWTH: Final = 4


def run(configured: Configured, reread: Callable[[], Configured]) -> int:
    """Serve until told to stop; returns the exit code. ``reread`` reads the configuration again."""
    log = configure_logging()
    try:
        asyncio.run(Supervisor(configured, reread, log).serve())
    except StartError as error:
        log.join(_LAST_LINES_S)
        print(f"Error: {error}", file=sys.stderr)
        return 1
    finally:
        log.join(_LAST_LINES_S)
    return 0


class Supervisor:
    """Also what the admin server shows and commands (``admin.view.Balancer``)."""

    def __init__(
        self, configured: Configured, reread: Callable[[], Configured], log: LineWriter
    ) -> None:
        self._log = log
        self.board: Board = _board_for(configured)
        self.board.cells[H_SUPERVISOR_PID] = os.getpid()
        self._configured = configured
        self._started_at = time()
        self._stop_wanted = asyncio.Event()
        self._stop_now = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._events = Events()
        self._runtime = RuntimeFile(
            runtime_directory(self._events), self._events, _absolute(configured.source)
        )
        self._sockets = ListeningSockets(configured.workers, self._runtime.may_share)
        self._workers = Workers(
            self.board, self._sockets, self._events, on_change=self._write_runtime_file
        )
        rows = Rows(self.board, monotonic)
        self._states = EndpointStates(self.board, self._events)
        self._files = CertificateFiles()
        self._contexts = EndpointContexts()
        self._addresses = Addresses(SystemResolver(), self._events)
        self._states.on_leave = self._look_again
        self._publisher = Publisher(
            self.board,
            rows,
            self._sockets,
            self._workers,
            self._states,
            self._files,
            self._addresses,
            self._events,
        )
        self._reloader = Reloader(configured, reread, self._publisher, self._events)
        self._checks = HealthChecks(self._states, self._events, self._contexts)
        self._agents = AgentChecks(self._states, self._events)
        self._outliers = OutlierDetection(self.board, rows, self._states)
        self._reconnecting = Reconnecting(self._outliers, Prober(self._contexts))
        self._engines = EngineLoads(self.board, self._events, self._contexts)
        self._exact = ExactIndex(self.board, self._states, self._events)
        self._kv_events = KvEventReaders(self.board, self._events, self._exact, self._contexts)
        self._parity = ParityWatch(self.board, self._states)
        self._models = EngineModels(self._events, self._contexts, self._publisher.refresh)
        self._publisher.preparations.append(self._models.prepare)
        self._publisher.marks.append(self._models.mark)
        self._checks.before_up = self._models.look_at
        self._states.on_return = self._look_at_models
        self._workers.on_models_missed = self._look_for_models
        self._publisher.followers += [
            self._checks.follow,
            self._agents.follow,
            self._outliers.follow,
            self._engines.follow,
            self._models.follow,
            self._parity.follow,
            self._kv_events.follow,
        ]
        self._admin = AdminServer(self, configured.admin.token)

    async def serve(self) -> None:
        """From start to end. Raises StartError."""
        raise_descriptor_limit()
        self._listen_to_signals()
        for warning in self._configured.warnings:
            self._events.warning("configuration", warning)
        try:
            await self._open_admin()
            await self._until_stopped(self._start_workers())
            if not self._stop_wanted.is_set():
                self._keep("watching the workers", self._workers.watch)
                self._keep("outlier detection", self._outliers.run)
                self._keep("reaching ejected endpoints", self._reconnecting.run)
                self._keep("slow start", self._ramp)
                self._keep("prefix parity", self._parity.run)
                self._keep("learning prefixes", self._exact.run)
                self._keep("certificate files", self._watch_certificates)
                self._keep("board rows", self._reclaim_rows)
                self._keep("addresses", self._follow_addresses)
                self._keep("rates", self._admin.sample)
                self._begin(self._runtime.relieve_orphans(self._ports()))
                await self._stop_wanted.wait()
            self._reloader.refuse_all("the balancer is stopping")
            await self._end_tasks()
            await self._stop_workers()
        finally:
            await self._end_tasks()
            await self._admin.stop()
        self._events.info("stopped", "stopped")

    # --- what the admin server asks for -----------------------------------------------------

    def overview(self) -> Overview:
        """How things are."""
        return overview(
            self._publisher.running,
            self._sockets,
            self._states,
            self._checks,
            self._agents,
            self._outliers,
            self._engines,
            self._models,
            self._workers,
            self._reloader,
            self._events.recent(_SHOWN_EVENTS),
            started_at=self._started_at,
            stopping=self._stop_wanted.is_set(),
            log_dropped=self._log.dropped,
        )

    def drain(self, pool: str, endpoint: str) -> None:
        """No further requests for it. Raises UnknownNameError."""
        self._states.drain(pool, endpoint, "requested by an operator")

    def undrain(self, pool: str, endpoint: str) -> None:
        """Requests again. Raises UnknownNameError."""
        self._states.undrain(pool, endpoint, "requested by an operator")

    def set_weight(self, pool: str, endpoint: str, weight: float) -> None:
        """Weigh it so. Raises UnknownNameError, and ValueError for a weight that is none."""
        self._states.set_weight(pool, endpoint, weight, "requested by an operator")

    async def reload(self) -> ReloadView:
        """Read the configuration again."""
        return await self._reloader.reload("admin address")

    async def decisions(self, request_id: str, pool: str, limit: int) -> list[dict[str, Any]]:
        """Recorded choices of endpoints, newest first: of one request, or with "" of all."""
        question = {"kind": "decisions", "id": request_id, "pool": pool, "limit": limit}
        records: list[dict[str, Any]] = []
        for answer in await self._workers.ask_all(question):
            found = answer["records"]
            assert isinstance(found, list)
            records += found
        records.sort(key=lambda record: float(record["time"]), reverse=True)
        return records[:limit]

    def stop(self) -> None:
        """Begin to stop; asked for once more, at once."""
        if self._stop_wanted.is_set():
            self._stop_now.set()
        self._stop_wanted.set()

    # --- start and stop ---------------------------------------------------------------------

    async def _open_admin(self) -> None:
        settings = self._configured.admin
        if settings.host is None:
            return
        try:
            address = await self._admin.start(settings.host, settings.port)
        except OSError as error:
            shown = shown_address(settings.host, settings.port)
            raise StartError(
                f"the admin address {shown} cannot be listened on: {error.strerror}; "
                "`--admin` or `admin:` chooses another, or `off`"
            ) from error
        url = f"http://{shown_address(*address)}"
        self._events.info("admin", f"admin address: {url}", url=url)

    async def _start_workers(self) -> None:
        try:
            await self._publisher.start(self._configured.snapshot)
        except StartError as error:
            owners = {
                self._runtime.owner(each.port) for each in self._configured.snapshot.listeners
            }
            pids = ", ".join(str(pid) for pid in sorted(owners - {0}))
            hint = f" (Penstock runs there already: pid {pids})" if pids else ""
            raise StartError(f"{error}{hint}") from error
        running = self._publisher.running
        addresses = ", ".join(
            f"{'https' if each.certificates else 'http'}://"
            f"{shown_address(*self._sockets.address(each))}"
            for each in running.listeners
        )
        self._events.info(
            "started",
            f"penstock {__version__} ({form()}) serves {addresses}, workers: {self.board.workers}",
            addresses=addresses,
            workers=self.board.workers,
        )
        self._write_runtime_file()

    async def _until_stopped(self, work: Coroutine[Any, Any, None]) -> None:
        """Do it, or give it up when the balancer is told to stop."""
        task = asyncio.create_task(work)
        stop = asyncio.create_task(self._stop_wanted.wait())
        await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if task.done():
            task.result()
        else:
            task.cancel()
            await asyncio.wait({task})

    async def _end_tasks(self) -> None:
        await self._checks.stop()
        await self._agents.stop()
        await self._engines.stop()
        await self._models.stop()
        await self._kv_events.stop()
        await self._addresses.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _stop_workers(self) -> None:
        deadline_s = self._reloader.configured.shutdown_deadline_s
        self._events.info("stopping", f"stopping; running requests have {deadline_s:g} s")
        stopping = asyncio.create_task(self._workers.stop(deadline_s))
        self._sockets.close_all()  # or clients would wait in queues that nobody serves
        hurry = asyncio.create_task(self._stop_now.wait())
        await asyncio.wait({stopping, hurry}, return_when=asyncio.FIRST_COMPLETED)
        if not stopping.done():
            self._events.warning("stopped_at_once", "deadline reached: cutting running requests")
            await self._workers.kill()
        await stopping
        hurry.cancel()
        self._runtime.remove()

    # --- what goes on meanwhile -------------------------------------------------------------

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, self._on_hangup)
        loop.add_signal_handler(signal.SIGUSR1, self._on_reopen)

    def _on_hangup(self) -> None:
        self._begin(self._reload_on_signal())

    async def _reload_on_signal(self) -> None:
        await self._reloader.reload("SIGHUP")

    def _on_reopen(self) -> None:
        self._begin(self._workers.send_all({"kind": "reopen_log"}))

    async def _ramp(self) -> None:
        while True:
            await asyncio.sleep(RAMP_S)
            self._states.ramp()

    async def _reclaim_rows(self) -> None:
        while True:
            await asyncio.sleep(_RECLAIM_S)
            self._publisher.reclaim_rows()

    async def _watch_certificates(self) -> None:
        """Publish again when files changed and can be used; a half-written pair waits."""
        complained_of: object = None
        while True:
            await asyncio.sleep(_CERTIFICATES_S)
            changed = self._files.changed()
            if not changed or changed == complained_of:
                continue
            names = ", ".join(sorted(path for path, _ in changed))
            try:
                await asyncio.to_thread(try_files, self._publisher.running)
                await self._publisher.refresh()
            except (ValueError, PublishError) as error:
                complained_of = changed
                self._events.error(
                    "certificates.refused", f"{names} changed but cannot be loaded: {error}"
                )
                continue
            self._contexts.forget()
            self._events.info("certificates", f"{names} changed and was loaded")

    async def _follow_addresses(self) -> None:
        async def refresh() -> None:
            try:
                await self._publisher.refresh()
            except PublishError as error:
                self._events.error("name.refused", f"addresses that changed are not used: {error}")

        await self._addresses.run(refresh)

    def _look_again(self, pool: str, endpoint: str) -> None:
        """It went down: perhaps its name leads elsewhere now."""
        for found in self._publisher.endpoints(pool, endpoint):
            self._addresses.look_again(found)

    def _look_at_models(self, pool: str, endpoint: str) -> None:
        self._begin(self._models.look_at(pool, endpoint))

    def _look_for_models(self, pool: str, changed: bool) -> None:
        """A worker misses a model, or passed on a request that may have changed which there are."""
        self._begin(self._look_and_tell(pool, changed))

    async def _look_and_tell(self, pool: str, changed: bool) -> None:
        await self._models.look(pool, surely=changed)
        await self._workers.send_all({"kind": "models", "pool": pool})

    def _keep(self, what: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run something that never ends; a bug in it is logged, and it is begun again."""

        async def keep() -> None:
            while True:
                try:
                    await work()
                except Exception as error:  # noqa: BLE001 - service goes on without
                    self._events.bug(what, error)
                await asyncio.sleep(_AFTER_A_BUG_S)

        self._begin(keep())

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_ended)

    def _on_ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._events.bug("supervisor", error)

    def _ports(self) -> list[int]:
        return [self._sockets.address(each)[1] for each in self._publisher.running.listeners]

    def _write_runtime_file(self) -> None:
        self._runtime.write(self._workers.pids, self._ports())


def raise_descriptor_limit() -> None:
    """As many descriptors as the system allows; workers inherit the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _absolute(source: Path | None) -> str:
    return str(source.absolute()) if source is not None else ""


def _board_for(configured: Configured) -> Board:
    pools = configured.snapshot.pools
    endpoints = sum(len(pool.endpoints) for pool in pools)
    return create_board(
        configured.workers,
        endpoint_rows=max(_LEAST_ENDPOINT_ROWS, _GROWTH * endpoints),
        pool_rows=max(_LEAST_POOL_ROWS, _GROWTH * len(pools)),
    )
