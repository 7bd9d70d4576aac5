"""The supervisor: starts the workers, keeps them up to date, stops. Read ``serve`` first.

It is never on a request's path: when it dies, workers serve on with what they know, and its
successor takes over (``takeover.py``).
"""

import asyncio
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from time import monotonic, time
from typing import Any, Final

from penstock import __version__
from penstock._form import form
from penstock.admin.server import AdminServer
from penstock.admin.view import Overview
from penstock.config.compile.snapshot import Configured
from penstock.control.acme.certificates import FetchedCertificates
from penstock.control.background import BackgroundTasks
from penstock.control.commands import bound
from penstock.control.discovery.api_endpoints import ApiEndpoints
from penstock.control.discovery.following import Discoveries
from penstock.control.discovery.membership import Membership
from penstock.control.discovery.publishing import MembersPublisher
from penstock.control.endpoint_contexts import EndpointContexts
from penstock.control.endpoints.addresses import Addresses
from penstock.control.endpoints.agents import AgentChecks
from penstock.control.endpoints.checks import HealthChecks
from penstock.control.endpoints.health_checker import HealthChecker
from penstock.control.endpoints.name_resolver import NameResolver
from penstock.control.endpoints.outliers import OutlierDetection
from penstock.control.endpoints.parity import ParityWatch
from penstock.control.endpoints.reconnecting import Reconnecting
from penstock.control.endpoints.states import EndpointStates
from penstock.control.engines.exact_index import ExactIndex
from penstock.control.engines.kv_events import KvEventReaders
from penstock.control.engines.loads import EngineLoads
from penstock.control.engines.models import EngineModels
from penstock.control.events import Events, configure_logging
from penstock.control.forecasts.forecasts import Forecasts
from penstock.control.maintenance import MaintenanceSwitches
from penstock.control.overview import overview
from penstock.control.parts import Parts
from penstock.control.scale.scaling import FleetScaling
from penstock.control.service_manager import (
    ADMIN,
    ActivationError,
    ServiceManager,
    assign,
    given_sockets,
)
from penstock.control.store.directory import state_directory
from penstock.control.store.embedded import EmbeddedStore
from penstock.control.store.files import StateFiles
from penstock.control.upgrade.handover import Handover
from penstock.control.upgrade.predecessor import VARIABLE, HandoverError, Predecessor, meet
from penstock.control.upgrade.succession import Inner, Succession
from penstock.control.workers.indexes import HALVES, WorkerIndexes
from penstock.control.workers.sockets import ListeningSockets, Place, place_of
from penstock.control.workers.takeover import RuntimeFile, runtime_directory
from penstock.control.workers.workers import StartError, Workers
from penstock.control.world.certificates import CertificateFiles, try_files
from penstock.control.world.publish import Publisher, PublishError
from penstock.control.world.reload import Reloader
from penstock.control.world.revocations import RevocationLists
from penstock.control.world.rows import Rows
from penstock.core.health.slow_start import RAMP_S
from penstock.core.snapshot import Snapshot
from penstock.core.snapshot.address import shown_address, shown_url
from penstock.dataplane.board.layout import H_SUPERVISOR_PID
from penstock.dataplane.board.memory import ENDPOINT_ROWS, POOL_ROWS, Board, create_board
from penstock.dataplane.record.line_writer import LineWriter
from penstock.dataplane.worker.mailbox import LINGER_S

_CERTIFICATES_S: Final = 2.0  # between two looks at the files
_RECLAIM_S: Final = 1.0
_LAST_LINES_S: Final = 1.0  # to write what the log still holds at the end
_GROWTH: Final = 4  # of a configuration that is larger than boards have room for


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
            source = _absolute(configured.source)
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
        self.board: Board = _board_for(configured, predecessor)
        first = predecessor.first_index if predecessor is not None else 0
        self._indexes = WorkerIndexes(self.board, first, configured.workers)
        self._configured = configured
        self._started_at = time()
        self._stop_wanted = asyncio.Event()
        self._stop_now = asyncio.Event()
        self._events = Events()
        self._background = BackgroundTasks(self._events)
        self._runtime = RuntimeFile(
            runtime_directory(self._events), self._events, _absolute(configured.source)
        )
        self._state_files = StateFiles(
            state_directory(configured.state, self._events), self._events
        )
        if predecessor is not None:
            self._state_files.take_over(predecessor.offer.memo.state_files)
        self._store = EmbeddedStore(self._state_files)
        self._service_manager = ServiceManager()
        given = given_sockets()
        self._given_admin = given.get(ADMIN)
        handed = predecessor.handed if predecessor is not None else None
        if handed is None:
            listeners = configured.snapshot.listeners
            handed = assign(given, listeners, configured.workers, self._events)
        self._sockets = ListeningSockets(configured.workers, self._runtime.may_share, handed)
        self._workers = Workers(
            self.board,
            self._sockets,
            self._events,
            indexes=range(self._indexes.first, self._indexes.end),
            on_change=self._write_runtime_file,
        )
        rows = Rows(self.board, monotonic)
        self._states = EndpointStates(self.board, self._events)
        self._files = CertificateFiles()
        self._revocations = RevocationLists(self._events)
        self._contexts = EndpointContexts()
        self._addresses = Addresses(NameResolver(), self._events)
        self._states.on_leave = self._on_leave
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
        self._membership = Membership(monotonic, self.board.endpoint_rows // 2)
        self._membership.addresses_of = self._addresses.known
        self._publisher.members = self._membership.members
        self._members_publisher = MembersPublisher(
            self._membership, self._publisher.refresh, self._events
        )
        self._discoveries = Discoveries(self._membership, self._events)
        self._publisher.searches.append(self._discoveries.search)
        self._api_endpoints = ApiEndpoints(
            self._membership,
            lambda: self._publisher.running,
            self._publisher.refresh,
            self._state_files,
            self._events,
        )
        self._reloader = Reloader(configured, reread, self._publisher, self._events)
        self._reloader.on_begin = self._service_manager.reloading
        self._reloader.on_end = self._service_manager.ready
        self._checks = HealthChecks(self._states, self._events, self._contexts)
        self._agents = AgentChecks(self._states, self._events)
        self._outliers = OutlierDetection(self.board, self._states)
        self._reconnecting = Reconnecting(self._outliers, HealthChecker(self._contexts))
        self._engines = EngineLoads(self.board, self._events, self._contexts)
        self._exact = ExactIndex(self.board, self._states, self._events)
        self._kv_events = KvEventReaders(self.board, self._events, self._exact, self._contexts)
        self._parity = ParityWatch(self.board, self._states)
        self._models = EngineModels(self._events, self._contexts, self._publisher.refresh)
        self._maintenance = MaintenanceSwitches(self._events, self._publisher.refresh)
        self._forecasts = Forecasts(self.board, self._state_files, self._events)
        kept_at = self._state_files.directory or self._runtime.directory
        self._fetched = FetchedCertificates(
            self._store,
            kept_at or Path(tempfile.mkdtemp(prefix="penstock-")),
            self._events,
            self._publisher.refresh,
        )
        self._publisher.marks.insert(0, self._fetched.mark)  # before their files are looked at
        self._publisher.marks.append(self._maintenance.mark)
        self._publisher.preparations.append(self._models.ask_new)
        self._publisher.marks.append(self._models.mark)
        self._checks.before_up = self._models.ask_endpoint
        self._states.on_return = self._on_return
        self._workers.on_models_missed = self._on_models_missed
        self._publisher.followers += [
            self._configure_discoveries,
            self._contexts.configure,  # before those who ask with them
            self._maintenance.configure,
            self._checks.configure,
            self._agents.configure,
            self._outliers.configure,
            self._engines.configure,
            self._models.configure,
            self._parity.configure,
            self._kv_events.configure,
            self._revocations.configure,
            self._forecasts.configure,
            self._fetched.configure,
        ]
        self._scaling = FleetScaling(
            self.board,
            self._states,
            self._membership,
            self._publisher,
            self._workers,
            self._contexts,
            self._forecasts,
            self._state_files,
            self._events,
        )
        self._publisher.followers.append(self._scaling.configure)
        self._parts = Parts(
            events=self._events,
            sockets=self._sockets,
            workers=self._workers,
            publisher=self._publisher,
            reloader=self._reloader,
            states=self._states,
            checks=self._checks,
            agents=self._agents,
            outliers=self._outliers,
            engines=self._engines,
            models=self._models,
            revocations=self._revocations,
            maintenance=self._maintenance,
            fetched=self._fetched,
            forecasts=self._forecasts,
            state_files=self._state_files,
            store=self._store,
            membership=self._membership,
            scaling=self._scaling,
            discoveries=self._discoveries,
            api_endpoints=self._api_endpoints,
            stop=self.stop,
        )
        self._admin = AdminServer(self, bound(self._parts), configured.admin.token)
        inner = Inner(
            board=self.board,
            rows=rows,
            indexes=self._indexes,
            runtime=self._runtime,
            exact=self._exact,
            admin=self._admin,
            admin_settings=configured.admin,
            background=self._background,
            begin_tasks=self._begin_tasks,
            end_tasks=self._end_tasks,
            reload=self._on_hangup,
            service_manager=self._service_manager,
        )
        self._succession = Succession(self._parts, inner, predecessor)
        self._handover = Handover(
            self._succession, self._runtime.upgrade_socket, arguments, self._events
        )

    async def serve(self) -> None:
        """Serve from start to stop. Raises StartError."""
        raise_descriptor_limit()
        self._listen_to_signals()
        for warning in self._configured.warnings:
            self._events.warning("configuration", warning)
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
                self._service_manager.ready()
                self._background.begin(
                    "relieving orphans", self._runtime.relieve_orphans(self._places())
                )
                await self._until_over()
            self._reloader.refuse_all("the balancer is stopping")
            await self._end_tasks()
            self._forecasts.save()
            await self._stop_workers()
        finally:
            await self._handover.stop()
            await self._end_tasks()
            await self._end_scaling()
            await self._admin.stop()
        self._events.info("stopped", "stopped")

    async def _end_scaling(self) -> None:
        """After the workers: whoever has a request at an endpoint keeps it."""
        if self._succession.left.is_set():
            await self._scaling.leave()
        else:
            await self._scaling.stop()

    def _begin_tasks(self) -> None:
        self._background.keep("watching the workers", self._workers.watch)
        self._background.keep("outlier detection", self._outliers.run)
        self._background.keep("reaching ejected endpoints", self._reconnecting.run)
        self._background.keep("slow start", self._ramp)
        self._background.keep("prefix parity", self._parity.run)
        self._background.keep("learning prefixes", self._exact.run)
        self._background.keep("certificate files", self._watch_certificates)
        self._background.keep("board rows", self._reclaim_rows)
        self._background.keep("publishing members", self._members_publisher.run)
        self._background.keep("scaling", self._scaling.run)
        self._background.keep("addresses", self._keep_addresses)
        self._background.keep("rates", self._admin.sample)
        self._background.keep("forecasts", self._forecasts.run)
        self._background.keep("telling the service manager", self._service_manager.watch)
        self._background.keep("workers of other versions", self._succession.watch_leaving)

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

    def stop(self) -> None:
        """Begin to stop; if called again, stop at once."""
        if self._stop_wanted.is_set():
            self._stop_now.set()
        self._stop_wanted.set()

    # --- start and stop ---------------------------------------------------------------------

    async def _open_admin(self) -> None:
        settings = self._configured.admin
        if settings.host is None:
            return
        handed = self._given_admin
        predecessor = self._predecessor
        if predecessor is not None and predecessor.has_admin(settings.host, settings.port):
            handed = predecessor.admin_socket
        try:
            address = await self._admin.start(settings.host, settings.port, handed)
        except OSError as error:
            shown = shown_address(settings.host, settings.port)
            raise StartError(
                f"the admin address {shown} cannot be listened on: {error.strerror}; "
                "`--admin` or `admin:` chooses another, or `off`"
            ) from error
        url = f"http://{shown_address(*address)}"
        self._events.info("admin", f"admin address: {url}", url=url)

    async def _start_workers(self) -> None:
        self._api_endpoints.load()
        try:
            await self._publisher.start(self._configured.snapshot)
        except StartError as error:
            owners = {
                self._runtime.owner(place_of(each)) for each in self._configured.snapshot.listeners
            }
            pids = ", ".join(str(pid) for pid in sorted(owners - {0}))
            hint = f" (Penstock is already running there: pid {pids})" if pids else ""
            raise StartError(f"{error}{hint}") from error
        running = self._publisher.running
        addresses = ", ".join(
            shown_url(each.scheme, *self._sockets.address(each)) for each in running.listeners
        )
        workers = len(self._workers.all)
        self._events.info(
            "started",
            f"penstock {__version__} ({form()}) serves {addresses}, workers: {workers}",
            addresses=addresses,
            workers=workers,
        )
        self._write_runtime_file()

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

    async def _end_tasks(self) -> None:
        await self._background.stop()  # first: it may publish, and so begin others
        for part in (
            self._checks,
            self._agents,
            self._engines,
            self._models,
            self._kv_events,
            self._discoveries,
            self._addresses,
            self._fetched,
        ):
            await part.stop()

    async def _stop_workers(self) -> None:
        deadline_s = self._reloader.configured.shutdown_deadline_s
        linger_s = 0.0
        if not self._succession.left.is_set():
            self._service_manager.stopping()
        else:
            await self._admin.stop()
            deadline_s = self._reloader.configured.upgrade_deadline_s
            linger_s = LINGER_S
        self._events.info("stopping", f"stopping; running requests have {deadline_s:g} s")
        stopping = asyncio.create_task(self._workers.stop(deadline_s, linger_s))
        self._sockets.close_all()  # or clients would wait in queues that nobody serves
        hurry = asyncio.create_task(self._hurried())
        await asyncio.wait({stopping, hurry}, return_when=asyncio.FIRST_COMPLETED)
        if not stopping.done():
            self._events.warning("stopped_at_once", "deadline reached: cutting running requests")
            await self._workers.kill()
        await stopping
        await self._succession.until_predecessor_ended(deadline_s)
        hurry.cancel()
        self._runtime.remove()

    async def _hurried(self) -> None:
        """Until it is to end at once. One that a successor has relieved has more time, until it is
        told to stop like any other."""
        await self._stop_wanted.wait()
        self._succession.stop_predecessor()
        if self._succession.left.is_set():
            deadline_s = self._reloader.configured.shutdown_deadline_s
            await self._workers.send_all({"kind": "stop", "deadline_s": deadline_s})
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
        self._background.begin("reloading", self._reload_on_signal())

    async def _reload_on_signal(self) -> None:
        await self._reloader.reload("SIGHUP")

    def _on_reopen(self) -> None:
        reopening = self._workers.send_all({"kind": "reopen_log"})
        self._background.begin("reopening the request log", reopening)

    async def _ramp(self) -> None:
        while True:
            await asyncio.sleep(RAMP_S)
            self._states.ramp()

    async def _reclaim_rows(self) -> None:
        while True:
            await asyncio.sleep(_RECLAIM_S)
            self._publisher.reclaim_rows()

    async def _watch_certificates(self) -> None:
        """Publish again when files changed and are usable; a half-written pair waits."""
        complained_of: object = None
        while True:
            await asyncio.sleep(_CERTIFICATES_S)
            self._revocations.look()
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
            self._events.info("certificates", f"{names} changed and was loaded")

    async def _keep_addresses(self) -> None:
        async def refresh() -> None:
            try:
                await self._publisher.refresh()
            except PublishError as error:
                self._events.error("name.refused", f"changed addresses are not used: {error}")

        await self._addresses.run(refresh)

    def _configure_discoveries(self, snapshot: Snapshot) -> None:
        self._discoveries.configure(snapshot, self._publisher.fixed)
        self._api_endpoints.configure(self._publisher.fixed)

    def _on_leave(self, pool: str, endpoint: str) -> None:
        """It went down: its name may resolve to another address now."""
        for found in self._publisher.endpoints(pool, endpoint):
            self._addresses.expire(found)

    def _on_return(self, pool: str, endpoint: str) -> None:
        self._background.begin("asking for models", self._models.ask_endpoint(pool, endpoint))

    def _on_models_missed(self, pool: str, changed: bool) -> None:
        """A worker misses a model, or passed on a request that may have changed which there are."""
        self._background.begin("asking for models", self._ask_and_tell(pool, changed))

    async def _ask_and_tell(self, pool: str, changed: bool) -> None:
        await self._models.ask_pool(pool, surely=changed)
        await self._workers.send_all({"kind": "models", "pool": pool})

    def _places(self) -> list[Place]:
        return [self._sockets.place(each) for each in self._publisher.running.listeners]

    def _write_runtime_file(self) -> None:
        self._runtime.write(self._workers.pids, self._places())


def raise_descriptor_limit() -> None:
    """Allow as many descriptors as the system does; workers inherit the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _absolute(source: Path | None) -> str:
    return str(source.absolute()) if source is not None else ""


def _board_for(configured: Configured, predecessor: Predecessor | None) -> Board:
    if predecessor is not None and predecessor.board >= 0:
        return Board(predecessor.board)
    pools = configured.snapshot.pools
    endpoints = sum(len(pool.endpoints) for pool in pools)
    board = create_board(
        HALVES * configured.workers,
        endpoint_rows=max(ENDPOINT_ROWS, _GROWTH * endpoints),
        pool_rows=max(POOL_ROWS, _GROWTH * len(pools)),
    )
    board.cells[H_SUPERVISOR_PID] = os.getpid()
    return board
