"""Outlier detection: ejects endpoints that fail more than they should, for a growing time.

All of Envoy's detectors look at what requests experienced (nothing is sent):

- ``consecutive_failures``, at every observation, of any kind;
- ``consecutive_gateway_failures``, likewise, of those that a gateway reports: 502, 503, 504 and
  local failures (off unless asked for: Envoy enforces it in 0%);
- ``failure_share`` among at least ``failure_share_min_requests``, per sweep;
- ``silence_s`` without a byte while requests wait for one, at every observation: an endpoint that
  hangs fails no request before its clients give up, and often no check either (pools of kind llm,
  where tokens follow one another closely; elsewhere off unless asked for);
- ``success_rate`` < mean − ``success_rate_stdev_factor``·σ of the pool's, per sweep, where at least
  ``success_rate_min_endpoints`` had ``success_rate_min_requests`` each.

Responses 501 and 505 tell what a server does not support and are no failures; wrongly framed
answers are none as long as the endpoint's others are in order (``attempt_counts``).

A *local failure* is one without a whole response: the endpoint could not be reached, broke off,
stalled or spoke no HTTP. With ``split_local_failures`` (Envoy,
``split_external_local_origin_errors``) the detectors above look at responses only, and these three
at whether a whole one came: ``consecutive_local_failures``, ``local_failure_share``,
``local_success_rate``.

The n-th ejection lasts n · ``base_ejection_s``, at most ``max_ejection_s``; n shrinks by one with
every interval in service. At most ``max_ejected_share`` of a pool is out, though always one may be,
and never the last endpoint that could still serve. That share guards what a pool can take: an
endpoint to which every connection fails takes nothing, so it is ejected beyond the share, and let
in as soon as a connection succeeds (``reached``); one that was silent, as soon as it is heard. One
that active checks found down, and then up, is let in at once (Envoy,
``successful_active_health_check_uneject_host``).
Source: Envoy, outlier detection.
"""

from math import fsum, sqrt
from typing import Final

from penstock.core.snapshot import Outlier

CONSECUTIVE: Final = "consecutive_failures"
CONSECUTIVE_GATEWAY: Final = "consecutive_gateway_failures"
CONSECUTIVE_LOCAL: Final = "consecutive_local_failures"
SHARE: Final = "failure_share"
LOCAL_SHARE: Final = "local_failure_share"
SUCCESS_RATE: Final = "success_rate"
LOCAL_SUCCESS_RATE: Final = "local_success_rate"
SILENCE: Final = "silence"
DETECTORS: Final = (
    CONSECUTIVE,
    CONSECUTIVE_GATEWAY,
    CONSECUTIVE_LOCAL,
    SHARE,
    LOCAL_SHARE,
    SUCCESS_RATE,
    LOCAL_SUCCESS_RATE,
    SILENCE,
)


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


class OutlierChange:
    """An endpoint was ejected, or let in again."""

    def __init__(
        self, name: str, ejected: bool, reason: str, at: float, until: float, detector: str = ""
    ) -> None:
        self.name: str = name
        self.ejected: bool = ejected
        self.reason: str = reason
        self.at: float = at
        self.until: float = until  # when an ejection ends
        self.detector: str = detector  # by which it was ejected

    def __repr__(self) -> str:
        return f"<{self.name} {'ejected' if self.ejected else 'let in'}: {self.reason}>"


class _Track:
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

    def in_a_row(self) -> int:
        """The longest run that either the workers or the sums know of; 0 if it did not grow."""
        return max(self.run, self.tally.run - self.forgiven) if self.grew else 0

    def success_rate(self) -> float:
        """Of this window, 0..1."""
        return 1.0 - self.failures / self.finished


class _Record:
    """What is remembered of one endpoint between observations."""

    def __init__(self, counts: EndpointCounts) -> None:
        self.up: bool = counts.up
        self.every: _Track = _Track(counts.every)
        self.gateway: _Track = _Track(counts.gateway)
        self.local: _Track = _Track(counts.local)
        self.unreached: _Track = _Track(counts.unreached)
        self.ejected: bool = False
        self.unreachable: bool = False  # for that it was ejected
        self.silent_s: float = counts.silent_s
        self.heard_at: float = counts.heard_at
        self.silent_since: float = 0.0  # when it was ejected for silence; 0.0: it was not
        self.until: float = 0.0
        self.times: int = 0  # ejections held against it
        self.in_since: float = 0.0
        self.recovered: bool = False  # active checks found it well after they had found it ill

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

    def restart(self, counts: EndpointCounts) -> None:
        """Judge by what comes after these counts, which mean something else than those before."""
        self.up = counts.up
        self.every = _Track(counts.every)
        self.gateway = _Track(counts.gateway)
        self.local = _Track(counts.local)
        self.unreached = _Track(counts.unreached)

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


class OutlierDetector:
    """The passive health of one pool. Feed it all of the pool's endpoints every 100 ms or so."""

    def __init__(self, settings: Outlier, now: float) -> None:
        self.settings: Outlier = settings
        self.refused: int = 0  # ejections not made because too many were out
        self.ejections: dict[str, int] = dict.fromkeys(DETECTORS, 0)  # by detector
        self._split: bool = settings.split_local_failures
        self._records: dict[str, _Record] = {}
        self._next_sweep: float = now + settings.interval_s

    def is_ejected(self, name: str) -> bool:
        """Whether the endpoint is out."""
        record = self._records.get(name)
        return record is not None and record.ejected

    def unreachable(self) -> list[str]:
        """The endpoints that are out because no connection to them could be made."""
        return [name for name, each in self._records.items() if each.ejected and each.unreachable]

    def reached(self, name: str, now: float) -> OutlierChange | None:
        """A connection was made to one of these: it is let in."""
        record = self._records.get(name)
        if record is None or not record.ejected or not record.unreachable:
            return None
        return self._readmit(name, record, "connections to it succeed again", now)

    def observe(self, now: float, counts: list[EndpointCounts]) -> list[OutlierChange]:
        """Take in the newest counts; returns what changed. Endpoints not named are forgotten."""
        records: dict[str, _Record] = {}
        otherwise = self._split != self.settings.split_local_failures
        self._split = self.settings.split_local_failures
        for count in counts:
            record = self._records.get(count.name)
            if record is None:
                record = _Record(count)
            elif otherwise:
                record.restart(count)
            else:
                record.take(count)
            records[count.name] = record
        self._records = records
        changes = self._let_in(now)
        if not self.settings.enabled:
            return changes
        self._eject_runs(now, changes)
        self._eject_silent(now, changes)
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
            elif record.heard_at > record.silent_since > 0.0:
                reason = "it is heard again"
            elif now >= record.until:
                reason = "the ejection is over"
            else:
                continue
            changes.append(self._readmit(name, record, reason, now))
        return changes

    def _readmit(self, name: str, record: _Record, reason: str, now: float) -> OutlierChange:
        record.ejected = False
        record.silent_since = 0.0
        record.in_since = now
        record.forget()
        return OutlierChange(name, False, reason, now, now)

    def _eject_runs(self, now: float, changes: list[OutlierChange]) -> None:
        settings = self.settings
        for name, record in self._records.items():
            if record.ejected:
                continue
            every = record.every.in_a_row()
            gateway = record.gateway.in_a_row()
            local = record.local.in_a_row()
            unreached = record.unreached.in_a_row()
            if 0 < settings.consecutive_failures <= every:
                reason = f"{every} failures in a row"
                reached = unreached < settings.consecutive_failures
                self._eject(name, record, CONSECUTIVE, reason, now, changes, reached)
            elif 0 < settings.consecutive_gateway_failures <= gateway:
                reason = f"{gateway} gateway failures in a row"
                reached = unreached < settings.consecutive_gateway_failures
                self._eject(name, record, CONSECUTIVE_GATEWAY, reason, now, changes, reached)
            elif 0 < settings.consecutive_local_failures <= local:
                reason = f"{local} failures in a row without a whole response"
                reached = unreached < settings.consecutive_local_failures
                self._eject(name, record, CONSECUTIVE_LOCAL, reason, now, changes, reached)

    def _eject_silent(self, now: float, changes: list[OutlierChange]) -> None:
        limit_s = self.settings.silence_s
        if limit_s <= 0.0:
            return
        for name, record in self._records.items():
            if record.ejected or record.silent_s < limit_s:
                continue
            reason = f"silent for {record.silent_s:.0f} s, though requests wait for it"
            self._eject(name, record, SILENCE, reason, now, changes)
            if record.ejected:
                record.silent_since = now

    def _sweep(self, now: float, changes: list[OutlierChange]) -> None:
        self._eject_by_share(False, now, changes)
        self._eject_by_share(True, now, changes)
        self._eject_by_success_rate(False, now, changes)
        self._eject_by_success_rate(True, now, changes)
        for record in self._records.values():
            record.clear_window()
            served_s = 0.0 if record.ejected else now - record.in_since
            if record.times > 0 and served_s >= self.settings.interval_s:
                record.times -= 1

    def _eject_by_share(self, local: bool, now: float, changes: list[OutlierChange]) -> None:
        settings = self.settings
        most = settings.local_failure_share if local else settings.failure_share
        if most <= 0.0:
            return
        for name, record in self._records.items():
            track = record.local if local else record.every
            if record.ejected or track.finished < max(1, settings.failure_share_min_requests):
                continue
            share = track.failures / track.finished
            if share < most:
                continue
            if local:
                reason = f"{share:.0%} of {track.finished} requests got no whole response"
                self._eject(name, record, LOCAL_SHARE, reason, now, changes)
            else:
                reason = f"{share:.0%} of {track.finished} requests failed"
                self._eject(name, record, SHARE, reason, now, changes)

    def _eject_by_success_rate(self, local: bool, now: float, changes: list[OutlierChange]) -> None:
        settings = self.settings
        factor = settings.success_rate_stdev_factor
        if local:
            factor = settings.local_success_rate_stdev_factor
        if factor <= 0.0:
            return
        judged: dict[str, float] = {}
        for name, record in self._records.items():
            track = record.local if local else record.every
            if not record.ejected and track.finished >= max(1, settings.success_rate_min_requests):
                judged[name] = track.success_rate()
        if len(judged) < max(2, settings.success_rate_min_endpoints):
            return
        mean = fsum(judged.values()) / len(judged)
        stdev = sqrt(fsum([(rate - mean) ** 2 for rate in judged.values()]) / len(judged))
        floor = mean - factor * stdev
        what = "rate of whole responses" if local else "success rate"
        detector = LOCAL_SUCCESS_RATE if local else SUCCESS_RATE
        for name, rate in judged.items():
            if rate < floor:
                reason = f"{what} {rate:.1%} is under {floor:.1%}, the pool's mean {mean:.1%}"
                self._eject(name, self._records[name], detector, reason, now, changes)

    def _eject(
        self,
        name: str,
        record: _Record,
        detector: str,
        reason: str,
        now: float,
        changes: list[OutlierChange],
        reached: bool = True,
    ) -> None:
        if not self._may_eject(record, reached):
            self.refused += 1
            return
        settings = self.settings
        self.ejections[detector] += 1
        record.times += 1
        lasts_s = min(settings.base_ejection_s * record.times, settings.max_ejection_s)
        record.ejected = True
        record.until = now + lasts_s
        record.unreachable = not reached
        if reached:
            reason = f"{reason}; out for {lasts_s:g} s"
        else:
            reason = f"{reason}, all to connect; out for {lasts_s:g} s or until one succeeds"
        changes.append(OutlierChange(name, True, reason, now, record.until, detector))

    def _may_eject(self, candidate: _Record, reached: bool) -> bool:
        out = 0
        others = 0  # that could still serve
        for record in self._records.values():
            if record.ejected:
                out += 1
            elif record is not candidate and record.up:
                others += 1
        if others == 0:
            return False
        if not reached:
            return True  # it serves nobody as it is
        return out == 0 or out + 1 <= self.settings.max_ejected_share * len(self._records)
