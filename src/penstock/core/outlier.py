"""Outlier detection: ejects endpoints that fail more than they should, for a growing time.

Four detectors look at what requests experienced (nothing is sent):

- *consecutive failures*, at every observation, of any kind;
- *consecutive local failures*, likewise, of those where no response came: the endpoint could not be
  reached, or broke off, stalled or spoke no HTTP (off unless asked for, as it is in Envoy);
- *failure share* ≥ ``failure_share`` among at least ``failure_share_min_requests``, per sweep;
- *success rate* below mean − ``stdev_factor``·σ of the pool's, per sweep, where at least
  ``success_rate_min_endpoints`` had ``success_rate_min_requests`` each.

The n-th ejection lasts n · ``base_ejection_s``, at most ``max_ejection_s``; n shrinks by one with
every interval in service. At most ``max_ejected_share`` of a pool is out, though always one may be,
and never the last endpoint that could still serve. One that active checks found down, and then up,
is let in at once (Envoy, ``successful_active_health_check_uneject_host``).
Source: Envoy, outlier detection.
"""

from math import fsum, sqrt

from penstock.core.snapshot import Outlier


class EndpointCounts:
    """What one endpoint has done so far, summed over workers; all but ``consecutive`` only grow.

    ``finished``: attempts that ended. ``failures``: those the endpoint is to blame for.
    ``consecutive``: the longest run of failures that a worker is in. ``up``: whether active
    checks leave it in service. ``local_failures``: failures without a response.
    """

    def __init__(
        self,
        name: str,
        finished: int,
        failures: int,
        consecutive: int = 0,
        up: bool = True,
        local_failures: int = 0,
    ) -> None:
        self.name: str = name
        self.finished: int = finished
        self.failures: int = failures
        self.consecutive: int = consecutive
        self.up: bool = up
        self.local_failures: int = local_failures


class OutlierChange:
    """An endpoint was ejected, or let in again."""

    def __init__(self, name: str, ejected: bool, reason: str, at: float, until: float) -> None:
        self.name: str = name
        self.ejected: bool = ejected
        self.reason: str = reason
        self.at: float = at
        self.until: float = until  # when an ejection ends

    def __repr__(self) -> str:
        return f"<{self.name} {'ejected' if self.ejected else 'let in'}: {self.reason}>"


class _Run:
    """Failures in a row, as far as sums over workers show."""

    def __init__(self) -> None:
        self.length: int = 0
        self.grew: bool = False  # at the last observation

    def take(self, failed: int, finished: int) -> None:
        """So many of so many attempts failed since the last observation."""
        self.length = 0 if finished > failed else self.length + failed
        self.grew = failed > 0

    def forget(self) -> None:
        """Begin anew."""
        self.length = 0
        self.grew = False


class _Record:
    """What is remembered of one endpoint between observations."""

    def __init__(self, counts: EndpointCounts) -> None:
        self.counts: EndpointCounts = counts
        self.any_run: _Run = _Run()
        self.local_run: _Run = _Run()
        self.forgiven: int = counts.consecutive  # part of ``consecutive`` that no longer counts
        self.window_finished: int = 0  # since the last sweep
        self.window_failures: int = 0
        self.ejected: bool = False
        self.until: float = 0.0
        self.times: int = 0  # ejections held against it
        self.in_since: float = 0.0
        self.recovered: bool = False  # active checks found it well after they had found it ill

    def take(self, counts: EndpointCounts) -> None:
        """Take in newer counts of the endpoint."""
        before = self.counts
        self.counts = counts
        self.recovered = counts.up and not before.up
        failed = counts.failures - before.failures
        finished = counts.finished - before.finished
        if failed < 0:  # the counters began anew
            self.forget()
            return
        if finished < failed:  # the two were read a moment apart
            finished = failed
        self.window_finished += finished
        self.window_failures += failed
        self.any_run.take(failed, finished)
        self.local_run.take(counts.local_failures - before.local_failures, finished)
        if counts.consecutive < self.forgiven:
            self.forgiven = 0

    def forget(self) -> None:
        """What happened so far no longer counts against it."""
        self.any_run.forget()
        self.local_run.forget()
        self.forgiven = self.counts.consecutive
        self.clear_window()

    def clear_window(self) -> None:
        """Begin another sweep."""
        self.window_finished = 0
        self.window_failures = 0

    def failures_in_a_row(self) -> int:
        """The longest run that either the workers or the sums know of; 0 if it did not grow."""
        if not self.any_run.grew:
            return 0
        return max(self.any_run.length, self.counts.consecutive - self.forgiven)

    def local_failures_in_a_row(self) -> int:
        """The run of those without a response; 0 if it did not grow."""
        return self.local_run.length if self.local_run.grew else 0

    def success_rate(self) -> float:
        """Of this window, 0..1."""
        return 1.0 - self.window_failures / self.window_finished


class OutlierDetector:
    """The passive health of one pool. Feed it all of the pool's endpoints every 100 ms or so."""

    def __init__(self, settings: Outlier, now: float) -> None:
        self.settings: Outlier = settings
        self.refused: int = 0  # ejections not made because too many were out
        self._records: dict[str, _Record] = {}
        self._next_sweep: float = now + settings.interval_s

    def is_ejected(self, name: str) -> bool:
        """Whether the endpoint is out."""
        record = self._records.get(name)
        return record is not None and record.ejected

    def observe(self, now: float, counts: list[EndpointCounts]) -> list[OutlierChange]:
        """Take in the newest counts; returns what changed. Endpoints not named are forgotten."""
        records: dict[str, _Record] = {}
        for count in counts:
            record = self._records.get(count.name)
            if record is None:
                record = _Record(count)
            else:
                record.take(count)
            records[count.name] = record
        self._records = records
        changes = self._let_in(now)
        if not self.settings.enabled:
            return changes
        self._eject_runs(now, changes)
        if now >= self._next_sweep:
            self._next_sweep = now + self.settings.interval_s
            self._sweep(now, changes)
        return changes

    def _let_in(self, now: float) -> list[OutlierChange]:
        changes: list[OutlierChange] = []
        for name, record in self._records.items():
            if not record.ejected:
                continue
            if not self.settings.enabled:
                reason = "outlier detection is off"
            elif record.recovered:
                reason = "active checks found it well again"
            elif now >= record.until:
                reason = "the ejection is over"
            else:
                continue
            record.ejected = False
            record.in_since = now
            record.forget()
            changes.append(OutlierChange(name, False, reason, now, now))
        return changes

    def _eject_runs(self, now: float, changes: list[OutlierChange]) -> None:
        any_kind = self.settings.consecutive_failures
        local = self.settings.consecutive_local_failures
        for name, record in self._records.items():
            if record.ejected:
                continue
            run = record.failures_in_a_row()
            local_run = record.local_failures_in_a_row()
            if 0 < any_kind <= run:
                self._eject(name, record, f"{run} failures in a row", now, changes)
            elif 0 < local <= local_run:
                reason = f"{local_run} failures in a row without a response"
                self._eject(name, record, reason, now, changes)

    def _sweep(self, now: float, changes: list[OutlierChange]) -> None:
        self._eject_by_share(now, changes)
        self._eject_by_success_rate(now, changes)
        for record in self._records.values():
            record.clear_window()
            served_s = 0.0 if record.ejected else now - record.in_since
            if record.times > 0 and served_s >= self.settings.interval_s:
                record.times -= 1

    def _eject_by_share(self, now: float, changes: list[OutlierChange]) -> None:
        settings = self.settings
        if settings.failure_share <= 0.0:
            return
        for name, record in self._records.items():
            finished = record.window_finished
            if record.ejected or finished < max(1, settings.failure_share_min_requests):
                continue
            share = record.window_failures / finished
            if share >= settings.failure_share:
                reason = f"{share:.0%} of {finished} requests failed"
                self._eject(name, record, reason, now, changes)

    def _eject_by_success_rate(self, now: float, changes: list[OutlierChange]) -> None:
        settings = self.settings
        if settings.success_rate_stdev_factor <= 0.0:
            return
        judged = [
            (name, record)
            for name, record in self._records.items()
            if not record.ejected
            and record.window_finished >= max(1, settings.success_rate_min_requests)
        ]
        if len(judged) < max(2, settings.success_rate_min_endpoints):
            return
        rates = [record.success_rate() for _, record in judged]
        mean = fsum(rates) / len(rates)
        stdev = sqrt(fsum([(rate - mean) ** 2 for rate in rates]) / len(rates))
        floor = mean - settings.success_rate_stdev_factor * stdev
        for name, record in judged:
            rate = record.success_rate()
            if rate < floor:
                reason = f"success rate {rate:.1%} is under {floor:.1%}, the pool's mean {mean:.1%}"
                self._eject(name, record, reason, now, changes)

    def _eject(
        self, name: str, record: _Record, reason: str, now: float, changes: list[OutlierChange]
    ) -> None:
        if not self._may_eject(record):
            self.refused += 1
            return
        settings = self.settings
        record.times += 1
        lasts_s = min(settings.base_ejection_s * record.times, settings.max_ejection_s)
        record.ejected = True
        record.until = now + lasts_s
        reason = f"{reason}; out for {lasts_s:g} s"
        changes.append(OutlierChange(name, True, reason, now, record.until))

    def _may_eject(self, candidate: _Record) -> bool:
        out = 0
        others = 0  # that could still serve
        for record in self._records.values():
            if record.ejected:
                out += 1
            elif record is not candidate and record.counts.up:
                others += 1
        if others == 0:
            return False
        return out == 0 or out + 1 <= self.settings.max_ejected_share * len(self._records)
