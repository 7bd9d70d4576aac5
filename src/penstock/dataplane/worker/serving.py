"""What a worker does: runs the newest snapshot, keeps its listeners, counts, and stops."""

import ssl
from time import monotonic
from typing import Final

import msgspec
from mypy_extensions import trait

from penstock.core.snapshot import Listener as ListenerSpec
from penstock.core.snapshot import Snapshot
from penstock.core.snapshot.changes import decode_changes
from penstock.dataplane.board.layout import (
    W_DECISIONS_DROPPED,
    W_GENERATION,
    W_HEARTBEAT_MS,
    W_LOG_DROPPED,
    W_SESSIONS,
)
from penstock.dataplane.client.listener import Listener, ListeningSocket
from penstock.dataplane.client.settings import Challenges, ClientSettings
from penstock.dataplane.client.udp import DatagramListener
from penstock.dataplane.context import Context, moved_key
from penstock.dataplane.io.loop import Chore
from penstock.dataplane.io.system import Socket
from penstock.dataplane.io.tls import challenge_contexts, server_context
from penstock.dataplane.record.log_shape import LogShape
from penstock.dataplane.record.recorder import Recorder
from penstock.dataplane.record.tracer import Tracer
from penstock.dataplane.worker.distrusting import Distrusting
from penstock.dataplane.worker.live_snapshot import LiveSnapshot
from penstock.wire.client_certificate import taken_out

_ASKED_TO_END_S: Final = 2.0  # before the deadline of a stop
_MOVED_S: Final = 600.0  # sessions of another version are remembered
_LAST_LINES_S: Final = 1.0  # to write what logs still hold when the worker ends


@trait
class NoticeTaker:
    """Who logs what a worker decided by itself."""

    def tell(self, notices: list[dict[str, object]]) -> None:
        """Have these logged."""
        raise NotImplementedError

    def tell_usage(self, rows: list[list[object]], refused: dict[str, int]) -> None:
        """Have what tenants used added up, and how many requests each limit refused."""
        raise NotImplementedError

    def tell_traces(self, requests: list[dict[str, object]], dropped: int) -> None:
        """Have spans made of these; ``dropped`` further ones were traced in vain."""
        raise NotImplementedError


class Worker(Chore):
    """Applies what the mailbox brings, between two events of the loop."""

    def __init__(self, context: Context) -> None:
        self.context: Context = context
        self.listeners: dict[str, ListeningSocket] = {}
        self._contexts: dict[str, tuple[ListenerSpec, ssl.SSLContext]] = {}
        self._distrusting: Distrusting = Distrusting(context.loop, context.counters)
        context.loop.chores.append(self._distrusting)
        self.running: LiveSnapshot | None = None  # before the first
        self.supervisor: NoticeTaker | None = None  # while it lives
        self._deadline: float = 0.0
        self._lingers_until: float = 0.0  # while it stops; 0.0: no longer, or it does not

    def configure(self, encoded: object, names: list[str], descriptors: list[int]) -> int:
        """Run this snapshot from here on; returns its generation.

        ``descriptors`` are the listening sockets of the listeners named, and are taken over. Raises
        OSError, ssl.SSLError, ValueError or msgspec.ValidationError, and then nothing changed.
        """
        sockets = [self.context.system.inherited(fd) for fd in descriptors]
        try:
            return self._configure(encoded, names, sockets)
        except BaseException:
            live = [listener.sock for listener in self.listeners.values()]
            for sock in sockets:  # or clients would wait in a queue from which nobody accepts
                if sock not in live:
                    sock.close()
            raise

    def _configure(self, encoded: object, names: list[str], sockets: list[Socket]) -> int:
        """All that can fail comes before anything that changes what runs."""
        context = self.context
        spec: Snapshot = msgspec.convert(encoded, type=Snapshot)
        tls: dict[str, tuple[ListenerSpec, ssl.SSLContext]] = {}
        for listener in spec.listeners:
            if listener.speaks_tls:
                kept = self._contexts.get(listener.name)
                unchanged = (
                    kept is not None
                    and kept[0].certificates == listener.certificates
                    and kept[0].tls == listener.tls
                    and kept[0].tls_generation == listener.tls_generation
                    and _protocols(kept[0]) == _protocols(listener)
                )
                if kept is not None and unchanged:
                    tls[listener.name] = kept
                else:
                    context_made = server_context(
                        listener.certificates, _protocols(listener), listener.tls
                    )
                    tls[listener.name] = (listener, context_made)
        brought = dict(zip(names, sockets, strict=True))
        lacking = [
            each.name
            for each in spec.listeners
            if each.name not in brought and each.name not in self.listeners
        ]
        if lacking:
            raise ValueError(f"the listeners {', '.join(lacking)} have no socket")
        running = LiveSnapshot(spec, self.running, context)
        log = context.log.opened(spec.request_log.target, spec.request_log.path)
        try:
            running.configure()
        except BaseException:
            context.log.release(log)
            raise
        context.log.use(log)
        context.log.shape = LogShape(spec.request_log)
        if context.tracer is None or context.tracer.spec != spec.traces:
            context.tracer = Tracer(spec.traces) if spec.traces is not None else None
        datagrams = [listener.name for listener in spec.listeners if listener.protocol == "udp"]
        for name, sock in brought.items():
            self._listen(name, sock, name in datagrams)
        self.running = running
        context.planner = running.planner
        context.tls.keep(spec.pools)
        self._look_at_clients(tls)
        self._contexts = tls
        taken = taken_out([each.tls.client_certificate_header for each in spec.listeners])
        for listener in spec.listeners:
            settings = ClientSettings(listener, _upgrades(spec, listener.name), taken)
            if spec.tokens or listener.challenges:
                settings.challenges = _challenges(spec, listener)
            chosen = tls.get(listener.name)
            self.listeners[listener.name].configure(settings, chosen[1] if chosen else None)
        configured = {listener.name for listener in spec.listeners}
        for name in list(self.listeners):
            if name not in configured:
                self.listeners.pop(name).stop()
                self._let_go(name)
        self._tell_generation(spec.generation)
        return spec.generation

    def configure_endpoints(self, encoded: object) -> int:
        """Run the snapshot that these changes of endpoints lead to; returns its generation.

        Raises ValueError or msgspec.ValidationError, and then nothing changed.
        """
        changes = decode_changes(encoded)
        if self.running is None:
            raise ValueError("changes came before any snapshot")
        self.running.configure_endpoints(changes)
        self._tell_generation(changes.generation)
        return changes.generation

    def _tell_generation(self, generation: int) -> None:
        counters = self.context.counters
        counters.values[W_GENERATION] = generation
        counters.changed = True
        counters.publish()

    def count_workers(self, first: int, end: int, sharers: int) -> None:
        """Workers of these indexes run now, and so many share what is configured."""
        self.context.board.count_indexes(first, end, sharers)
        if self.running is not None:
            self.running.count_workers()

    def on_woken(self) -> None:
        """Another worker has somebody who waits for a place, or freed one."""
        if self.running is not None:
            self.running.on_woken()

    def give_up_datagrams(self) -> list[tuple[str, str, int, str]]:
        """Leave clients' datagrams to another version's workers: the sessions that there are."""
        self.context.datagrams_held = True
        sessions: list[tuple[str, str, int, str]] = []
        for listener in self.listeners.values():
            if isinstance(listener, DatagramListener):
                listener.hold(True)
                sessions += listener.told_sessions()
        return sessions

    def take_datagrams(self, sessions: list[list[object]]) -> None:
        """Read clients' datagrams from here on; these sessions have their endpoints already."""
        context = self.context
        context.datagrams_held = False
        context.moved = {
            moved_key(str(listener), str(host), int(str(port))): str(endpoint)
            for listener, host, port, endpoint in sessions
        }
        context.moved_until = context.env.now + _MOVED_S
        for item in self.listeners.values():
            if isinstance(item, DatagramListener):
                item.hold(False)

    def stop(self, deadline_s: float, linger_s: float = 0.0) -> None:
        """Accept no more, let running requests finish until the deadline, then end.

        Clients between two requests are let go after ``linger_s``. Who asks again before that is
        answered that this was the last: it need not find out by a request that fails.
        """
        context = self.context
        if not context.stopping:
            context.stopping = True
            for listener in self.listeners.values():
                listener.stop()
            self._lingers_until = context.env.now + linger_s
            if linger_s <= 0.0:
                self._let_idle_go()
        deadline = context.env.now + deadline_s
        # Who asks again wants it sooner, if anything.
        self._deadline = min(self._deadline, deadline) if self._deadline > 0.0 else deadline

    def _let_idle_go(self) -> None:
        self._lingers_until = 0.0
        for item in list(self.context.loop.by_fd.values()):
            item.close_if_idle()

    def on_batch(self) -> None:
        if self.running is not None:
            self.running.refresh()

    def on_sweep(self, now: float) -> None:
        context = self.context
        context.look_at_the_date()
        counters = context.counters
        counters.values[W_HEARTBEAT_MS] = int(now * 1000)
        counters.values[W_LOG_DROPPED] = context.log.dropped
        counters.values[W_SESSIONS] = context.sessions
        notices = context.log.take_notices()
        counters.changed = True  # whoever bumps what changes with every request need not say so
        running = self.running
        if running is not None:
            running.publish()
            running.on_sweep(now)
            notices += running.take_notices()
            counters.values[W_DECISIONS_DROPPED] = running.dropped_decisions()
        if self.supervisor is not None:
            if notices:
                self.supervisor.tell(notices)
            rows = context.limits.usage.take()
            refused = context.limits.usage.take_refused()
            if rows or refused:
                self.supervisor.tell_usage(rows, refused)
            if context.tracer is not None:
                requests, dropped = context.tracer.take()
                if requests or dropped:
                    self.supervisor.tell_traces(requests, dropped)
        counters.publish()
        context.limits.on_sweep(now)
        context.outlets.trim(now)
        if context.moved and now > context.moved_until:
            context.moved = {}
        if 0.0 < self._lingers_until <= now:
            self._let_idle_go()
        if context.stopping and now >= self._deadline - _ASKED_TO_END_S:
            for item in list(context.loop.by_fd.values()):
                item.go_away()
        idle = context.clients == 0 and context.sessions == 0
        if context.stopping and (idle or now >= self._deadline):
            context.loop.stop()

    def finish(self) -> None:
        """The last counts, and the last lines of the log."""
        for item in list(self.context.loop.by_fd.values()):
            item.cut_off()  # past the deadline
        self.context.limits.slices.all_back()
        self.on_sweep(self.context.env.now)
        logs = [self.context.log]
        logs += [recorder.log for recorder in self.recorders().values()]
        for log in logs:
            log.end()
        give_up_at = monotonic() + _LAST_LINES_S
        for log in logs:
            log.join(max(0.0, give_up_at - monotonic()))

    def reopen_logs(self) -> None:
        """Open the request log and the decision logs by their names again."""
        self.context.log.reopen()
        for recorder in self.recorders().values():
            recorder.log.reopen()

    def recorders(self) -> dict[str, Recorder]:
        """Of all pools."""
        if self.running is None:
            return {}
        return {name: pool.recorder for name, pool in self.running.pools.items()}

    def _look_at_clients(self, made: dict[str, tuple[ListenerSpec, ssl.SSLContext]]) -> None:
        """Those of listeners whose files changed, or their settings."""
        for name, (spec, context) in made.items():
            known = self._contexts.get(name)
            if known is not None and known[1] is not context:
                try:
                    self._distrusting.changed(name, spec.tls)
                except (OSError, ValueError):
                    pass  # gone again since OpenSSL read them: whatever follows them changes too

    def _let_go(self, listener: str) -> None:
        """Its clients finish what they asked for, and are closed."""
        for item in list(self.context.loop.by_fd.values()):
            item.listener_gone(listener)

    def _listen(self, name: str, sock: Socket, datagrams: bool) -> None:
        sock.setblocking(False)
        old = self.listeners.pop(name, None)
        if old is not None:
            old.stop()
        listen = DatagramListener if datagrams else Listener
        self.listeners[name] = listen(self.context, sock)


def _upgrades(spec: Snapshot, listener: str) -> bool:
    """Whether requests of that listener's clients may change their protocol."""
    for route in spec.routes:
        of_it = not route.match.listeners or listener in route.match.listeners
        if of_it and route.pools and route.upgrades:
            return True
    return False


def _challenges(spec: Snapshot, listener: ListenerSpec) -> Challenges:
    answers: dict[bytes, bytes] = {}
    if listener.protocol == "http":
        for path, text in spec.tokens.items():
            answers[path.encode()] = text.encode()
    return Challenges(answers, challenge_contexts(listener.challenges))


def _protocols(listener: ListenerSpec) -> tuple[str, ...]:
    """What its clients may choose by ALPN."""
    if not listener.speaks_http:
        return ()
    return ("h2", "http/1.1") if listener.http2.enabled else ("http/1.1",)
