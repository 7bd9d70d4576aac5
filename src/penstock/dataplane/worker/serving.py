"""What a worker does: takes snapshots and commands from its mailbox, and runs the loop."""

import gc
import os
import signal
import socket
import ssl
import sys
from time import monotonic
from typing import Any, Final, TextIO, cast

import msgspec

from penstock.core.snapshot import Listener as ListenerSpec
from penstock.core.snapshot import Snapshot
from penstock.dataplane.board.layout import (
    W_DECISIONS_DROPPED,
    W_GENERATION,
    W_HEARTBEAT_MS,
    W_LOG_DROPPED,
    Board,
)
from penstock.dataplane.client.http1 import ClientConnection
from penstock.dataplane.client.listener import Listener
from penstock.dataplane.client.settings import ClientSettings
from penstock.dataplane.context import Context
from penstock.dataplane.io.loop import READABLE, WRITABLE, Chore, Pollable, report_bug
from penstock.dataplane.io.tls import server_context
from penstock.dataplane.pool.model_waits import ToldAtOnce
from penstock.dataplane.record.line_writer import LineStream, LineWriter
from penstock.dataplane.record.recorder import Recorder, decisions_answer
from penstock.dataplane.worker.mailbox import Inbox, frame, framed
from penstock.dataplane.worker.tls_building import TlsBuilding
from penstock.dataplane.worker.world import World

_MAX_DESCRIPTORS: Final = 64  # taken with one read of the mailbox
_MAX_UNSENT_BYTES: Final = 1024 * 1024
# How long running requests may take after SIGTERM, when no supervisor says otherwise.
_DEFAULT_DEADLINE_S: Final = 30.0
_LAST_LINES_S: Final = 1.0  # to write what logs still hold when the worker ends
_STDERR: Final = 2


class Worker(Chore):
    """Applies what the mailbox brings, between two events of the loop."""

    def __init__(self, context: Context) -> None:
        self.context: Context = context
        self.listeners: dict[str, Listener] = {}
        self._contexts: dict[str, tuple[ListenerSpec, ssl.SSLContext]] = {}
        self.mailbox: Mailbox | None = None
        self._deadline: float = 0.0
        self.serving: bool = False  # a snapshot was applied

    def apply(self, encoded: object, names: list[str], descriptors: list[int]) -> int:
        """Run this snapshot from here on; returns its generation.

        ``descriptors`` are the listening sockets of the listeners named, and are taken over. Raises
        OSError, ssl.SSLError, ValueError or msgspec.ValidationError, and then nothing changed.
        """
        sockets = [socket.socket(fileno=fd) for fd in descriptors]
        try:
            return self._apply(encoded, names, sockets)
        except BaseException:
            live = [listener.sock for listener in self.listeners.values()]
            for sock in sockets:  # or clients would wait in a queue from which nobody accepts
                if sock not in live:
                    sock.close()
            raise

    def _apply(self, encoded: object, names: list[str], sockets: list[socket.socket]) -> int:
        """All that can fail comes before anything that changes what runs."""
        context = self.context
        spec: Snapshot = msgspec.convert(encoded, type=Snapshot)
        before = context.world if self.serving else None
        tls: dict[str, tuple[ListenerSpec, ssl.SSLContext]] = {}
        for listener in spec.listeners:
            if listener.certificates:
                kept = self._contexts.get(listener.name)
                unchanged = (
                    kept is not None
                    and kept[0].certificates == listener.certificates
                    and kept[0].tls_generation == listener.tls_generation
                )
                if kept is not None and unchanged:
                    tls[listener.name] = kept
                else:
                    tls[listener.name] = (listener, server_context(listener.certificates))
        brought = dict(zip(names, sockets, strict=True))
        lacking = [
            each.name
            for each in spec.listeners
            if each.name not in brought and each.name not in self.listeners
        ]
        if lacking:
            raise ValueError(f"the listeners {', '.join(lacking)} have no socket")
        world = World(spec, before, context)
        log = context.log.opened(spec.request_log.target, spec.request_log.path)
        try:
            world.enter()
        except BaseException:
            context.log.release(log)
            raise
        context.log.use(log)
        for name, sock in brought.items():
            self._adopt(name, sock)
        context.enter(world)
        context.tls.keep(spec.pools)
        self.serving = True
        self._contexts = tls
        for listener in spec.listeners:
            settings = ClientSettings(listener)
            chosen = tls.get(listener.name)
            self.listeners[listener.name].configure(settings, chosen[1] if chosen else None)
        configured = {listener.name for listener in spec.listeners}
        for name in list(self.listeners):
            if name not in configured:
                self.listeners.pop(name).stop()
                self._let_go(name)
        context.counters.values[W_GENERATION] = spec.generation
        context.counters.changed = True
        context.counters.publish()
        return spec.generation

    def stop(self, deadline_s: float) -> None:
        """Accept no more, let running requests finish until the deadline, then end."""
        context = self.context
        if not context.stopping:
            context.stopping = True
            for listener in self.listeners.values():
                listener.stop()
            for item in list(context.loop.by_fd.values()):
                if isinstance(item, ClientConnection):
                    item.close_if_idle()
        deadline = context.env.now + deadline_s
        # Who asks again wants it sooner, if anything.
        self._deadline = min(self._deadline, deadline) if self._deadline > 0.0 else deadline

    def on_batch(self) -> None:
        if self.serving:
            self.context.world.follow()

    def on_sweep(self, now: float) -> None:
        context = self.context
        context.look_at_the_date()
        counters = context.counters
        counters.values[W_HEARTBEAT_MS] = int(now * 1000)
        counters.values[W_LOG_DROPPED] = context.log.dropped
        notices = context.log.take_notices()
        counters.changed = True  # whoever bumps what changes with every request need not say so
        if self.serving:
            context.world.publish()
            context.world.on_sweep(now)
            notices += context.world.take_notices()
            counters.values[W_DECISIONS_DROPPED] = context.world.dropped_decisions()
        if notices and self.mailbox is not None:
            self.mailbox.tell(notices)
        counters.publish()
        if context.stopping and (context.clients == 0 or now >= self._deadline):
            context.loop.stop()

    def finish(self) -> None:
        """The last counts, and the last lines of the log."""
        for item in list(self.context.loop.by_fd.values()):
            if isinstance(item, ClientConnection):
                item.cut_off()  # past the deadline
        self.on_sweep(self.context.env.now)
        logs = [self.context.log]
        if self.serving:
            logs += [pool.recorder.log for pool in self.context.world.pools.values()]
        for log in logs:
            log.end()
        give_up_at = monotonic() + _LAST_LINES_S
        for log in logs:
            log.join(max(0.0, give_up_at - monotonic()))

    def reopen_logs(self) -> None:
        """Open the request log and the decision logs by their names again."""
        self.context.log.reopen()
        if self.serving:
            for pool in self.context.world.pools.values():
                pool.recorder.log.reopen()

    def recorders(self) -> dict[str, Recorder]:
        """Of each pool, by its name."""
        return {name: pool.recorder for name, pool in self.context.world.pools.items()}

    def _let_go(self, listener: str) -> None:
        """Its clients finish what they asked for, and are closed."""
        for item in list(self.context.loop.by_fd.values()):
            if isinstance(item, ClientConnection) and item.settings.listener == listener:
                item.close_after()
                item.close_if_idle()

    def _adopt(self, name: str, sock: socket.socket) -> None:
        sock.setblocking(False)
        old = self.listeners.pop(name, None)
        if old is not None:
            old.stop()
        self.listeners[name] = Listener(self.context, sock)


class Mailbox(Pollable):
    """The worker's end of its socket pair with the supervisor."""

    def __init__(self, worker: Worker, sock: socket.socket) -> None:
        super().__init__(sock.fileno())
        self._worker: Worker = worker
        worker.mailbox = self
        worker.context.supervisor = _Supervisor(worker)
        self._sock: socket.socket = sock
        self._inbox: Inbox = Inbox()
        self._descriptors: list[int] = []
        self._unsent: bytes = b""
        self._waiting: list[dict[str, Any]] = []  # messages, in their order
        self._building: bool = False  # what the first of them needs

    def on_ready(self, events: int) -> None:
        if events & WRITABLE and self._unsent:
            self._send(b"")
        if not events & ~WRITABLE:
            return
        try:
            data, descriptors, _, _ = socket.recv_fds(self._sock, 1 << 20, _MAX_DESCRIPTORS)
        except BlockingIOError:
            return
        except OSError:
            data, descriptors = b"", []
        self._descriptors += descriptors
        if not data:
            # The supervisor is gone. Serving goes on with what is known; SIGTERM ends it.
            self._worker.context.loop.remove(self)
            self._worker.mailbox = None
            self._sock.close()
            return
        self._waiting += self._inbox.feed(data)
        self._go_on()

    def tell(self, notices: list[dict[str, object]]) -> None:
        """Have the supervisor log these, unless it is so busy that much waits for it already."""
        if len(self._unsent) < _MAX_UNSENT_BYTES:
            self._send(frame({"kind": "notices", "notices": notices}))

    def _go_on(self) -> None:
        """One message after the other; a snapshot waits for TLS contexts that are to be made."""
        while self._waiting and not self._building:
            message = self._waiting[0]
            if message.get("kind") == "snapshot" and self._worker.serving and self._build(message):
                return
            self._waiting.pop(0)
            self._handle(message)

    def _build(self, message: dict[str, Any]) -> bool:
        """Begin to make the contexts that it needs and nobody has; False when there are none."""
        context = self._worker.context
        if not _speaks_tls(message["snapshot"]):
            return False
        try:
            spec = msgspec.convert(message["snapshot"], type=Snapshot)
        except msgspec.ValidationError:
            return False  # which is told when it is applied
        lacking = context.tls.lacking(spec.pools)
        if lacking:
            self._building = True
            TlsBuilding(context.loop, context.tls, lacking, self._on_built)
        return len(lacking) > 0

    def _on_built(self) -> None:
        self._building = False
        if self._worker.mailbox is None:
            return  # the supervisor is gone
        if self._waiting:
            self._handle(self._waiting.pop(0))
        self._go_on()

    def _handle(self, message: dict[str, Any]) -> None:
        kind = message.get("kind")
        if kind == "snapshot":
            self._apply(message)
        elif kind == "stop":
            self._worker.stop(float(message.get("deadline_s", _DEFAULT_DEADLINE_S)))
        elif kind == "models":
            self._worker.context.world.on_models_known(str(message["pool"]))
        elif kind == "reopen_log":
            self._worker.reopen_logs()
        elif kind == "decisions":
            self._send(framed(decisions_answer(self._worker.recorders(), message)))
        else:
            print(f"penstock worker: message of unknown kind {kind!r}", file=sys.stderr)

    def _apply(self, message: dict[str, Any]) -> None:
        names: list[str] = list(message.get("listeners", []))
        taken, self._descriptors = self._descriptors[: len(names)], self._descriptors[len(names) :]
        encoded = message["snapshot"]
        reason = ""
        try:
            generation = self._worker.apply(encoded, names, taken)
        except (OSError, ValueError) as error:  # ssl.SSLError and ValidationError are of these
            reason = str(error) or type(error).__name__
        except Exception as error:  # noqa: BLE001 - of a user's policy; the supervisor waits
            report_bug("while a snapshot was applied")
            reason = f"{type(error).__name__}: {error}"
        if not reason:
            self._answer({"kind": "applied", "generation": generation})
            return
        generation = encoded.get("generation", 0)
        self._answer({"kind": "refused", "generation": generation, "reason": reason})

    def _answer(self, message: dict[str, object]) -> None:
        self._send(frame(message))

    def _send(self, data: bytes) -> None:
        """At once, as far as the supervisor reads; the rest when it does."""
        self._unsent += data
        try:
            sent = self._sock.send(self._unsent)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            print(f"penstock worker: the supervisor cannot be told: {error}", file=sys.stderr)
            sent = len(self._unsent)
        self._unsent = self._unsent[sent:]
        loop = self._worker.context.loop
        if self.fd in loop.by_fd:
            loop.change(self, READABLE | (WRITABLE if self._unsent else 0))


class _Supervisor(ToldAtOnce):
    """At the other end of the mailbox, as long as it lives."""

    def __init__(self, worker: Worker) -> None:
        super().__init__()
        self._worker: Worker = worker

    def tell(self, notice: dict[str, object]) -> None:
        mailbox = self._worker.mailbox
        if mailbox is not None:
            mailbox.tell([notice])


def _speaks_tls(snapshot: dict[str, Any]) -> bool:
    """Whether any endpoint does, told without reading the whole."""
    for pool in snapshot.get("pools", ()):
        for endpoint in pool.get("endpoints", ()):
            if endpoint.get("tls"):
                return True
    return False


class SignalPipe(Pollable):
    """Signals, delivered between two events of the loop."""

    def __init__(self, worker: Worker) -> None:
        self._worker: Worker = worker
        self._reader, self._writer = socket.socketpair()
        super().__init__(self._reader.fileno())
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, _wake)
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # meant for the supervisor
        # A worker is in the background of its terminal, which may be set to stop who writes there.
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)

    def on_ready(self, events: int) -> None:
        try:
            numbers = self._reader.recv(64)
        except BlockingIOError:
            return
        for number in numbers:
            if number == signal.SIGTERM:
                self._worker.stop(_DEFAULT_DEADLINE_S)
            elif number == signal.SIGUSR1:
                self._worker.reopen_logs()


def _wake(number: int, frame: object) -> None:
    """The wake-up descriptor says which signal it was."""


def run(index: int, board_fd: int, mailbox_fd: int) -> int:
    """Serve until told to stop; returns the exit code."""
    context = Context(Board(board_fd), index, os.getpid())
    worker = Worker(context)
    loop = context.loop
    mailbox = socket.socket(fileno=mailbox_fd)
    mailbox.setblocking(False)
    loop.add(Mailbox(worker, mailbox), READABLE)
    loop.add(SignalPipe(worker), READABLE)
    loop.chores += [worker, context.log]
    loop.batch_chores.append(worker)
    # Everything made so far lives as long as the process: the collector need not look at it.
    # What requests make is freed by counting references; cycles are rare, so it looks seldom.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    errors = LineWriter(_STDERR, owned=False)  # whoever reads it may stall
    stderr = sys.stderr
    sys.stderr = cast(TextIO, LineStream(errors))
    try:
        loop.run()
        worker.finish()
    finally:
        sys.stderr = stderr
        errors.join(_LAST_LINES_S)
    return 0
