"""What outlier detection remembers of an endpoint between observations."""


class Tally:
    """Attempts at one endpoint and how many failed, summed over workers; both only grow.

    ``run``: the longest run of failures that a worker is in.
    """

    def __init__(self, finished: int = 0, failures: int = 0, run: int = 0) -> None:
        self.finished: int = finished
        self.failures: int = failures
        self.run: int = run


class EndpointCounts:
    """What one endpoint has done so far.

    ``every``: all failures, or of responses only where local failures are split off. ``gateway``:
    the same, of those that a gateway reports. ``local``: local failures among all attempts, where
    they are split off. ``up``: whether active checks leave it in service. ``unreached``: attempts
    for which there was no connection, among all. ``silent_s``: for how long it has owed a byte and
    sent none to anyone, 0 while it owes none; ``heard_at``: when one came last.
    """

    def __init__(
        self,
        name: str,
        every: Tally,
        gateway: Tally,
        local: Tally,
        up: bool = True,
        unreached: Tally | None = None,
        silent_s: float = 0.0,
        heard_at: float = 0.0,
    ) -> None:
        self.name: str = name
        self.every: Tally = every
        self.gateway: Tally = gateway
        self.local: Tally = local
        self.up: bool = up
        self.unreached: Tally = Tally() if unreached is None else unreached
        self.silent_s: float = silent_s
        self.heard_at: float = heard_at


class Track:
    """One tally of an endpoint, followed from observation to observation."""

    def __init__(self, tally: Tally) -> None:
        self.tally: Tally = tally
        self.forgiven: int = tally.run  # part of the workers' runs that no longer counts
        self.run: int = 0  # failures in a row, as far as sums over workers show
        self.grew: bool = False  # at the last observation
        self.finished: int = 0  # since the last sweep
        self.failures: int = 0

    def take(self, tally: Tally) -> None:
        """Take in a newer one."""
        before = self.tally
        self.tally = tally
        failed = tally.failures - before.failures
        finished = tally.finished - before.finished
        if failed < 0:  # the counters began anew
            self.forget()
            return
        if finished < failed:  # the two were read a moment apart
            finished = failed
        self.finished += finished
        self.failures += failed
        self.run = 0 if finished > failed else self.run + failed
        self.grew = failed > 0
        if tally.run < self.forgiven:
            self.forgiven = 0

    def forget(self) -> None:
        """What happened so far no longer counts."""
        self.run = 0
        self.grew = False
        self.forgiven = self.tally.run
        self.clear_window()

    def clear_window(self) -> None:
        """Begin another sweep."""
        self.finished = 0
        self.failures = 0

    def is_restless(self) -> bool:
        """Whether a run may go on, or end, without a failure."""
        return self.grew or self.run > 0 or self.tally.run > 0

    def in_a_row(self) -> int:
        """The longest run that either the workers or the sums know of; 0 if it did not grow."""
        return max(self.run, self.tally.run - self.forgiven) if self.grew else 0

    def success_rate(self) -> float:
        """Of this window, 0..1."""
        return 1.0 - self.failures / self.finished


class Ejection:
    """What of an endpoint's record outlives a restart of whoever judges it."""

    def __init__(
        self,
        ejected: bool,
        until: float,
        times: int,
        unreachable: bool = False,
        silent_since: float = 0.0,
    ) -> None:
        self.ejected: bool = ejected
        self.until: float = until
        self.times: int = times
        self.unreachable: bool = unreachable
        self.silent_since: float = silent_since


class Record:
    """What is remembered of one endpoint between observations."""

    def __init__(self, counts: EndpointCounts) -> None:
        self.up: bool = counts.up
        self.every: Track = Track(counts.every)
        self.gateway: Track = Track(counts.gateway)
        self.local: Track = Track(counts.local)
        self.unreached: Track = Track(counts.unreached)
        self.ejected: bool = False
        self.unreachable: bool = False  # for that it was ejected
        self.silent_s: float = counts.silent_s
        self.heard_at: float = counts.heard_at
        self.silent_since: float = 0.0  # when it was ejected for silence; 0.0: it was not
        self.until: float = 0.0
        self.times: int = 0  # ejections held against it
        self.in_since: float = 0.0
        self.recovered: bool = False  # active checks found it well after they had found it ill

    def ejection(self) -> Ejection:
        """What a successor is to know."""
        return Ejection(self.ejected, self.until, self.times, self.unreachable, self.silent_since)

    def go_on(self, ejection: Ejection) -> None:
        """Have it as a predecessor had it."""
        self.ejected = ejection.ejected
        self.until = ejection.until
        self.times = ejection.times
        self.unreachable = ejection.unreachable
        self.silent_since = ejection.silent_since

    def take(self, counts: EndpointCounts) -> None:
        """Take in newer counts of the endpoint."""
        self.recovered = counts.up and not self.up
        self.up = counts.up
        self.silent_s = counts.silent_s
        self.heard_at = counts.heard_at
        self.every.take(counts.every)
        self.gateway.take(counts.gateway)
        self.local.take(counts.local)
        self.unreached.take(counts.unreached)

    def is_restless(self) -> bool:
        """Whether it is to be looked at again though nothing failed."""
        if self.ejected or self.recovered:
            return True
        return self.every.is_restless() or self.gateway.is_restless() or self.local.is_restless()

    def restart(self, counts: EndpointCounts) -> None:
        """Judge by what comes after these counts, which mean something else than those before."""
        self.up = counts.up
        self.every = Track(counts.every)
        self.gateway = Track(counts.gateway)
        self.local = Track(counts.local)
        self.unreached = Track(counts.unreached)

    def forget(self) -> None:
        """What happened so far no longer counts against it."""
        self.every.forget()
        self.gateway.forget()
        self.local.forget()
        self.unreached.forget()

    def clear_window(self) -> None:
        """Begin another sweep."""
        self.every.clear_window()
        self.gateway.clear_window()
        self.local.clear_window()
