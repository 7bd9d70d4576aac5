"""A worker's end of its socket pair with the supervisor: snapshots and commands in, answers out."""

import socket
import sys
from collections.abc import Callable
from typing import Any, Final

import msgspec

from penstock.core.limits.allowances import NEVER
from penstock.core.limits.owner import Asked, Lent
from penstock.core.policy.support.fitted import FittedPolicy
from penstock.core.snapshot import Snapshot
from penstock.dataplane.io.loop import READABLE, WRITABLE, Pollable, report_bug
from penstock.dataplane.pool.limits import Lender
from penstock.dataplane.pool.model_waits import ToldAtOnce
from penstock.dataplane.record.recorder import decisions_answer
from penstock.dataplane.worker.learned import learned_of, take_learned
from penstock.dataplane.worker.messages import Inbox, frame, framed
from penstock.dataplane.worker.serving import NoticeTaker, Worker
from penstock.dataplane.worker.tls_building import TlsBuilding

_MAX_DESCRIPTORS: Final = 64  # taken with one read of the mailbox
_MAX_UNSENT_BYTES: Final = 1024 * 1024
_TRACES_AT_ONCE: Final = 50  # requests
# How long running requests may take where the supervisor does not say.
DEFAULT_DEADLINE_S: Final = 30.0


class Mailbox(Pollable, NoticeTaker):
    """The worker's end of its socket pair with the supervisor."""

    def __init__(self, worker: Worker, sock: socket.socket) -> None:
        super().__init__(sock.fileno())
        self._worker: Worker = worker
        worker.supervisor = self
        worker.context.supervisor = _Supervisor(worker)
        worker.context.limits.lender = _Lender(self)
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
            if self._worker.running is None:
                self._worker.context.loop.stop()  # nothing is
            self._worker.supervisor = None
            self._sock.close()
            return
        self._waiting += self._inbox.feed(data)
        self._go_on()

    def tell(self, notices: list[dict[str, object]]) -> None:
        """Have the supervisor log these, unless it is so busy that much waits for it already."""
        if len(self._unsent) < _MAX_UNSENT_BYTES:
            self._send(frame({"kind": "notices", "notices": notices}))

    def ask_to_lend(self, asked: list[Asked]) -> bool:
        """Ask the owner of limits; False where it is gone, or does not read."""
        if self._worker.supervisor is None or len(self._unsent) >= _MAX_UNSENT_BYTES:
            return False
        told = [[a.limit, a.subject, a.need, a.least, a.back, a.owed, a.ahead] for a in asked]
        self._send(frame({"kind": "lend", "asked": told}))
        return True

    def tell_usage(self, rows: list[list[object]], refused: dict[str, int]) -> None:
        self._send(frame({"kind": "usage", "rows": rows, "refused": refused}))

    def tell_traces(self, requests: list[dict[str, object]], dropped: int) -> None:
        # Several messages, so that none is too long.
        for at in range(0, max(len(requests), 1), _TRACES_AT_ONCE):
            if len(self._unsent) >= _MAX_UNSENT_BYTES:
                dropped += len(requests) - at
                requests = []
            some = requests[at : at + _TRACES_AT_ONCE]
            self._send(frame({"kind": "traces", "requests": some, "dropped": dropped}))
            if not requests:
                return
            dropped = 0

    def _go_on(self) -> None:
        """One message after the other; a snapshot waits for TLS contexts that are to be made."""
        while self._waiting and not self._building:
            message = self._waiting[0]
            if message.get("kind") == "snapshot" and self._build(message):
                return
            self._waiting.pop(0)
            self._handle(message)

    def _build(self, message: dict[str, Any]) -> bool:
        """Begin to make the contexts that it needs and nobody has; False when there are none."""
        context = self._worker.context
        if self._worker.running is None or not _speaks_tls(message["snapshot"]):
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
        if self._worker.supervisor is None:
            return  # the supervisor is gone
        if self._waiting:
            self._handle(self._waiting.pop(0))
        self._go_on()

    def _handle(self, message: dict[str, Any]) -> None:
        kind = message.get("kind")
        worker = self._worker
        if kind == "snapshot":
            self._configure(message)
        elif kind == "endpoints":
            self._configure_endpoints(message)
        elif kind == "stop":
            deadline_s = float(message.get("deadline_s", DEFAULT_DEADLINE_S))
            worker.stop(deadline_s, float(message.get("linger_s", 0.0)))
        elif kind == "workers":
            worker.count_workers(
                int(message["first"]), int(message["end"]), int(message["sharers"])
            )
        elif kind == "hold_datagrams":
            worker.context.datagrams_held = True
        elif kind == "take_datagrams":
            worker.take_datagrams(list(message["sessions"]))
        elif kind == "give_up_datagrams":
            sessions = worker.give_up_datagrams()
            answer = {"kind": "answer", "token": message["token"], "sessions": sessions}
            self._send(frame(answer))
        elif kind == "lent":
            worker.context.limits.take_answer(_lent(message["lent"]))
        elif kind == "models":
            if worker.running is not None:
                worker.running.on_models_known(str(message["pool"]))
        elif kind == "reopen_log":
            worker.reopen_logs()
        elif kind == "decisions":
            self._send(framed(decisions_answer(worker.recorders(), message)))
        elif kind == "engine_model":
            self._send(frame(self._engine_model(message)))
        elif kind == "learned":
            pools = worker.running.pools if worker.running is not None else {}
            told = {"kind": "answer", "token": message["token"], "learned": learned_of(pools)}
            self._send(frame(told))
        elif kind == "take_learned":
            if worker.running is not None:
                take_learned(worker.running.pools, dict(message["learned"]))
        else:
            print(f"penstock worker: message of unknown kind {kind!r}", file=sys.stderr)

    def _engine_model(self, message: dict[str, Any]) -> dict[str, object]:
        """What the pool's policy learned of engines, where it learns that."""
        running = self._worker.running
        pool = running.pools.get(str(message.get("pool"))) if running is not None else None
        model: dict[str, float] | None = None
        if pool is not None and isinstance(pool.policy, FittedPolicy):
            model = pool.policy.fleet.coefficients()
        return {"kind": "answer", "token": message.get("token"), "model": model}

    def _configure(self, message: dict[str, Any]) -> None:
        names: list[str] = list(message.get("listeners", []))
        taken, self._descriptors = self._descriptors[: len(names)], self._descriptors[len(names) :]
        encoded = message["snapshot"]
        generation = encoded.get("generation", 0)
        self._answer(generation, lambda: self._worker.configure(encoded, names, taken))

    def _configure_endpoints(self, message: dict[str, Any]) -> None:
        encoded = message["changes"]
        generation = encoded.get("generation", 0)
        self._answer(generation, lambda: self._worker.configure_endpoints(encoded))

    def _answer(self, generation: int, configure: Callable[[], int]) -> None:
        """Do it, and say whether that generation runs."""
        reason = ""
        try:
            configure()
        except (OSError, ValueError) as error:  # ssl.SSLError and ValidationError are of these
            reason = str(error) or type(error).__name__
        except Exception as error:  # noqa: BLE001 - of a user's policy; the supervisor waits
            report_bug("while a snapshot was applied")
            reason = f"{type(error).__name__}: {error}"
        answer: dict[str, object] = {"kind": "applied", "generation": generation}
        if reason:
            answer = {"kind": "refused", "generation": generation, "reason": reason}
        self._send(frame(answer))

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
        supervisor = self._worker.supervisor
        if supervisor is not None:
            supervisor.tell([notice])


class _Lender(Lender):
    """The supervisor, as the owner of limits."""

    def __init__(self, mailbox: Mailbox) -> None:
        super().__init__()
        self._mailbox: Mailbox = mailbox

    def ask(self, asked: list[Asked]) -> bool:
        return self._mailbox.ask_to_lend(asked)


def _lent(told: list[list[Any]]) -> list[tuple[str, str, Lent]]:
    """As ``WorkerLimits.answer`` of the supervisor wrote it."""
    found: list[tuple[str, str, Lent]] = []
    for limit, subject, amount, keeps_s, wait_s, left, whole_s in told:
        # JSON has no number for what never is.
        lent = Lent(float(amount), float(keeps_s), NEVER if wait_s is None else float(wait_s))
        lent.left = float(left)
        lent.whole_s = NEVER if whole_s is None else float(whole_s)
        found.append((str(limit), str(subject), lent))
    return found


def _speaks_tls(snapshot: dict[str, Any]) -> bool:
    """Whether any endpoint does, told without reading the whole."""
    for pool in snapshot.get("pools", ()):
        for endpoint in pool.get("endpoints", ()):
            if endpoint.get("tls"):
                return True
    return False
