"""Events on a virtual clock, earliest first."""

from math import inf

from mypy_extensions import i64


class Event:
    """Something that happens at a time: subclasses say what in ``fire``.

    An event is on at most one heap, at most once; ``place`` is its index there, -1 if on none.
    """

    def __init__(self) -> None:
        self.when: float = 0.0
        self.order: i64 = 0
        self.place: i64 = -1

    def fire(self) -> None:
        """It is ``when``; the event is off the heap and may be scheduled again."""
        raise NotImplementedError


class EventHeap:
    """A binary heap of events by time, those of equal time in the order they were scheduled.

    Every event knows its place, so that it can be moved or cancelled in O(log n): departures move
    whenever a server's speed changes.
    """

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._scheduled: i64 = 0

    def __len__(self) -> int:
        return len(self._events)

    def schedule(self, event: Event, when: float) -> None:
        """``event`` happens at ``when``, instead of when it was due if it was."""
        self._scheduled += 1
        event.order = self._scheduled
        place = event.place
        if place < 0:
            event.when = when
            self._events.append(event)
            self._rise(event, len(self._events) - 1)
        elif when < event.when:
            event.when = when
            self._rise(event, place)
        else:
            event.when = when
            self._sink(event, place, len(self._events))

    def cancel(self, event: Event) -> None:
        """``event`` does not happen; nothing if it was not due."""
        place = event.place
        if place < 0:
            return
        event.place = -1
        last = self._events.pop()
        if last is event:
            return
        size: i64 = len(self._events)
        parent = (place - 1) >> 1
        if place > 0 and _before(last, self._events[parent]):
            self._rise(last, place)
        else:
            self._sink(last, place, size)

    def next_time(self) -> float:
        """When the first event is due; infinity when there is none."""
        return self._events[0].when if self._events else inf

    def first(self) -> Event:
        """The first event, left where it is. Raises IndexError when there is none."""
        return self._events[0]

    def pop(self) -> Event:
        """Take the first event off. Raises IndexError when there is none."""
        events = self._events
        last = events.pop()
        size: i64 = len(events)
        if size == 0:
            last.place = -1
            return last
        first = events[0]
        first.place = -1
        self._sink(last, 0, size)
        return first

    def _rise(self, event: Event, place: i64) -> None:
        events = self._events
        while place > 0:
            above = (place - 1) >> 1
            parent = events[above]
            if not _before(event, parent):
                break
            events[place] = parent
            parent.place = place
            place = above
        events[place] = event
        event.place = place

    def _sink(self, event: Event, place: i64, size: i64) -> None:
        events = self._events
        below = 2 * place + 1
        while below < size:
            child = events[below]
            if below + 1 < size:
                other = events[below + 1]
                if _before(other, child):
                    child = other
                    below += 1
            if not _before(child, event):
                break
            events[place] = child
            child.place = place
            place = below
            below = 2 * place + 1
        events[place] = event
        event.place = place


class Clock:
    """Virtual time in seconds, and what is to happen."""

    def __init__(self) -> None:
        self.now: float = 0.0
        self.heap: EventHeap = EventHeap()
        self._stopped: bool = False

    def at(self, event: Event, when: float) -> None:
        """``event`` happens at ``when``, which may not lie in the past."""
        if when < self.now:
            raise ValueError(f"an event at {when} was scheduled at {self.now}")
        self.heap.schedule(event, when)

    def stop(self) -> None:
        """Nothing that is still to happen matters."""
        self._stopped = True

    def run(self, until: float = inf) -> int:
        """Let everything due up to ``until`` happen, or until ``stop``; returns how many events."""
        heap = self.heap
        fired = 0
        while not self._stopped and len(heap) > 0 and heap.next_time() <= until:
            event = heap.pop()
            self.now = event.when
            event.fire()
            fired += 1
        return fired


def _before(a: Event, b: Event) -> bool:
    return a.when < b.when or (a.when == b.when and a.order < b.order)
