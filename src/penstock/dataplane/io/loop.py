"""The readiness loop: which descriptors have something to do, and which deadlines passed."""

import errno
import sys
import traceback
from heapq import heappop, heappush
from select import EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP
from typing import Any, Final

from mypy_extensions import trait

from penstock.core.env import Env
from penstock.core.policy.support.own import own_failure
from penstock.dataplane.io.system import System

READABLE: Final = EPOLLIN
WRITABLE: Final = EPOLLOUT
PEER_CLOSED: Final = EPOLLRDHUP
BROKEN: Final = EPOLLERR | EPOLLHUP  # an error, or both sides have ended
FAILED: Final = EPOLLERR
ONCE: Final = EPOLLET  # what is told is told again only when it changes

# The system has no more descriptors, ports or memory to give: nobody's fault that we talk to.
EXHAUSTED: Final = frozenset(
    (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL)
)

SWEEP_S: Final = 0.25  # how late a deadline may be noticed
_BATCH: Final = 256  # events taken from the kernel at once


class Pollable:
    """Something with a descriptor. ``deadline`` is on the loop's clock; 0.0 means none."""

    def __init__(self, fd: int) -> None:
        self.fd: int = fd
        self.deadline: float = 0.0
        self.watched_since: int = 0  # the batch of events in which the loop was told of it

    def on_ready(self, events: int) -> None:
        """The descriptor is ready."""
        raise NotImplementedError

    def on_readable(self) -> None:
        """Something can be read, and nothing else happened: most events are this one."""
        self.on_ready(READABLE)

    def on_deadline(self) -> None:
        """``deadline`` passed."""

    def on_crash(self) -> None:
        """A bug showed while this was handled: give up whatever it was doing."""

    def close_if_idle(self) -> None:
        """The worker stops: whoever waits for nothing is let go."""

    def go_away(self) -> None:
        """The worker stops, and its deadline is near: what can be asked to end is asked."""

    def cut_off(self) -> None:
        """The worker stopped, and its deadline passed: what runs is given up."""

    def distrust(self) -> None:
        """The certificate that its client showed is trusted no more: it finishes what runs, and
        gets nothing further."""
        self.go_away()

    def listener_gone(self, listener: str) -> None:
        """That listener is configured no more: its clients finish what they have."""


@trait
class Flushable:
    """Something that gathers what it sends while a batch of events is handled."""

    def flush(self) -> None:
        """Send it. Never raises."""
        raise NotImplementedError


class Alarm:
    """Something that is due at a time which no descriptor tells. ``due_at`` is on the loop's clock;
    0.0 while it is not set. See ``Loop.set_alarm``."""

    due_at: float = 0.0

    def ring(self, now: float) -> None:
        """It is due; it may be set again."""
        raise NotImplementedError

    def on_crash(self) -> None:
        """A bug showed while it rang: give up whatever it was set for."""
        raise NotImplementedError


class Chore:
    """Something to do between events."""

    def on_batch(self) -> None:
        """Before each batch of events, for those in ``batch_chores``: must cost next to nothing."""

    def on_sweep(self, now: float) -> None:
        """Once every ``SWEEP_S``."""


class Loop:
    """Runs until ``stop``. ``env.now`` is the time when the current batch of events was taken."""

    def __init__(self, env: Env, system: System | None = None) -> None:
        self.env: Env = env
        self.system: System = system if system is not None else System()
        self.by_fd: dict[int, Pollable] = {}
        self.chores: list[Chore] = []  # called at every sweep
        self.batch_chores: list[Chore] = []  # called before every batch as well
        self._poller: Any = self.system.poller()
        self._running: bool = False
        self._next_sweep: float = 0.0  # 0.0: it never ran
        self._batch: int = 0
        self._unflushed: list[Flushable] = []
        # Earliest first; one that was set anew, or taken back, stands there until its time.
        self._alarms: list[tuple[float, int, Alarm]] = []
        self._alarms_set: int = 0
        self._next: list[Alarm] = []  # to be rung in the next batch

    def set_alarm(self, alarm: Alarm, at: float) -> None:
        """Have it ring at that time, and no more when it was due before; at 0.0 never."""
        alarm.due_at = at
        if at > 0.0:
            self._alarms_set += 1
            heappush(self._alarms, (at, self._alarms_set, alarm))

    def ring_next(self, alarm: Alarm) -> None:
        """Have it ring in the next batch, behind what is ready by then; it is not taken back."""
        self._next.append(alarm)

    def add(self, item: Pollable, events: int) -> None:
        """Begin to watch."""
        self._poller.register(item.fd, events)
        item.watched_since = self._batch
        self.by_fd[item.fd] = item

    def change(self, item: Pollable, events: int) -> None:
        """Watch for other events."""
        self._poller.modify(item.fd, events)

    def replace(self, item: Pollable, other: Pollable) -> None:
        """``other`` has the descriptor from here on, with the events that are watched."""
        other.watched_since = item.watched_since
        self.by_fd[item.fd] = other

    def remove(self, item: Pollable) -> None:
        """Stop watching; before the descriptor is closed."""
        if self.by_fd.pop(item.fd, None) is not None:
            self._poller.unregister(item.fd)

    def flush_after_batch(self, item: Flushable) -> None:
        """Call its ``flush`` when the current events are handled; it asks for that once."""
        self._unflushed.append(item)

    def stop(self) -> None:
        """End ``run`` after the current batch."""
        self._running = False

    def run(self) -> None:
        """Handle events until stopped; it may run again after that."""
        clock = self.system.clock
        poll = self._poller.poll
        by_fd = self.by_fd
        env = self.env
        nothing: list[Alarm] = []
        next_sweep = self._next_sweep or clock() + SWEEP_S
        self._next_sweep = next_sweep
        self._running = True
        while self._running:
            wake = next_sweep
            if self._alarms:
                wake = min(wake, self._alarms[0][0])
            further = nothing
            if self._next:
                further = self._next
                self._next = []
                wake = env.now
            ready: list[tuple[int, int]] = poll(max(0.0, wake - env.now), _BATCH)
            now = clock()
            env.now = now
            batch = self._batch + 1
            self._batch = batch
            for chore in self.batch_chores:
                chore.on_batch()
            for fd, events in ready:
                item = by_fd.get(fd)
                # Of two that had the same descriptor within a batch, the event is the former's.
                if item is not None and item.watched_since != batch:
                    try:
                        if events == READABLE:
                            item.on_readable()
                        else:
                            item.on_ready(events)
                    except Exception:  # noqa: BLE001
                        self._crashed(item)
            if self._alarms and self._alarms[0][0] <= now:
                self._ring(now)
            if further:
                for alarm in further:
                    self._ring_one(alarm, now)
            if self._unflushed:
                self._flush()
            if now >= next_sweep:
                next_sweep = now + SWEEP_S
                self._next_sweep = next_sweep
                self._sweep(now)

    def _ring(self, now: float) -> None:
        """Those that are due, and were not moved."""
        alarms = self._alarms
        while alarms and alarms[0][0] <= now:
            at, _, alarm = heappop(alarms)
            if alarm.due_at == at:
                alarm.due_at = 0.0
                self._ring_one(alarm, now)

    def _ring_one(self, alarm: Alarm, now: float) -> None:
        try:
            alarm.ring(now)
        except Exception:  # noqa: BLE001
            self._alarm_crashed(alarm)

    def _flush(self) -> None:
        while self._unflushed:
            unflushed = self._unflushed
            self._unflushed = []
            for item in unflushed:
                item.flush()

    def _sweep(self, now: float) -> None:
        due = [item for item in self.by_fd.values() if 0.0 < item.deadline <= now]
        for item in due:
            # An earlier one may have closed this one, or moved its deadline.
            if 0.0 < item.deadline <= now and self.by_fd.get(item.fd) is item:
                try:
                    item.on_deadline()
                except Exception:  # noqa: BLE001
                    self._crashed(item)
        for chore in self.chores:
            chore.on_sweep(now)
        if self._unflushed:
            self._flush()

    def _alarm_crashed(self, alarm: Alarm) -> None:
        """As ``_crashed``."""
        report_bug(f"while {alarm!r} rang")
        try:
            alarm.on_crash()
        except Exception:  # noqa: BLE001
            traceback.print_exc()

    def _crashed(self, item: Pollable) -> None:
        """One connection's bug must not end the others: say it in full, and give up that one."""
        report_bug(f"while serving {item!r}")
        try:
            item.on_crash()
        except Exception:  # noqa: BLE001
            traceback.print_exc()
            self.remove(item)


def report_bug(where: str) -> None:
    """Say in full what the exception being handled is; who calls this goes on without it.

    Where a person's own policy raised it, their class and line come first.
    """
    own = own_failure(sys.exc_info()[1])
    print(f"penstock: {own}; {where}:" if own else f"penstock: bug {where}:", file=sys.stderr)
    traceback.print_exc()
