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

Of an endpoint that another balancer has out, one failure is enough for the first of them (ours).

Responses 501 and 505 say what a server does not support: they are not failures. Responses with
wrong framing are not either, as long as the endpoint's others are in order (``attempt_counts``).

A *local failure* is one without a whole response: the endpoint could not be reached, broke off,
stalled or spoke no HTTP. With ``split_local_failures`` (Envoy,
``split_external_local_origin_errors``) the detectors above look at responses only, and these three
at whether a whole one came: ``consecutive_local_failures``, ``local_failure_share``,
``local_success_rate``.

The n-th ejection lasts n · ``base_ejection_s``, at most ``max_ejection_s``; n drops by one with
every interval in service. At most ``max_ejected_share`` of a pool is ejected, but one endpoint
always may be, and the last one that could still serve never is. The share protects the pool's
capacity. An endpoint to which every connection fails adds none, so it is ejected beyond the share,
and comes back as soon as a connection succeeds (``reached``). A silent endpoint comes back as soon
as it is heard. One that active checks found down and then up comes back at once (Envoy,
``successful_active_health_check_uneject_host``). Source: Envoy, outlier detection.
"""

from math import fsum, sqrt
from typing import Final

from penstock.core.health.outlier_records import Ejection, EndpointCounts, Record
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


class OutlierDetector:
    """The passive health of one pool. Feed it all of the pool's endpoints every 100 ms or so."""

    def __init__(self, settings: Outlier, now: float) -> None:
        self.settings: Outlier = settings
        self.refused: int = 0  # ejections not made because too many were out
        self.ejections: dict[str, int] = dict.fromkeys(DETECTORS, 0)  # by detector
        # Endpoints that another balancer has out: it may be right, and one failure shows it.
        self.advised: frozenset[str] = frozenset()
        self._split: bool = settings.split_local_failures
        self._records: dict[str, Record] = {}
        self._inherited: dict[str, Ejection] = {}  # of endpoints that were not observed yet
        self._next_sweep: float = now + settings.interval_s

    def is_ejected(self, name: str) -> bool:
        """Whether the endpoint is out."""
        record = self._records.get(name)
        return record is not None and record.ejected

    def ejections_known(self) -> dict[str, Ejection]:
        """By endpoint, for a successor's ``restore``: those that are out, or were of late."""
        return {
            name: record.ejection()
            for name, record in self._records.items()
            if record.ejected or record.times > 0
        }

    def restore(self, ejections: dict[str, Ejection]) -> None:
        """Go on from what a predecessor knew; before anything is observed."""
        self._inherited = ejections

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
        records: dict[str, Record] = {}
        otherwise = self._split != self.settings.split_local_failures
        self._split = self.settings.split_local_failures
        for count in counts:
            record = self._records.get(count.name)
            if record is None:
                record = Record(count)
                inherited = self._inherited.pop(count.name, None)
                if inherited is not None:
                    record.go_on(inherited)
            elif otherwise:
                record.restart(count)
            else:
                record.take(count)
            records[count.name] = record
        self._records = records
        return self._judged(self._records, now)

    def glance(
        self, now: float, before: list[EndpointCounts], counts: list[EndpointCounts]
    ) -> list[OutlierChange]:
        """As ``observe``, of these endpoints alone, where no sweep is due: of all others nothing
        but answers in order was counted. ``before``: theirs at the last observation or glance."""
        for count in before:
            record = self._records.get(count.name)
            if record is not None:
                count.up = record.up
                record.take(count)
        seen: dict[str, Record] = {}
        for count in counts:
            record = self._records.get(count.name)
            if record is not None:
                record.take(count)
                seen[count.name] = record
        return self._judged(seen, now)

    def must_see_all(self, now: float) -> bool:
        """Whether the next observation is to be of all endpoints."""
        return now >= self._next_sweep or self._split != self.settings.split_local_failures

    def restless(self, names: list[str]) -> list[str]:
        """Which of these the next glance is to include, whatever will be counted of them."""
        limit_s = self.settings.silence_s
        found: list[str] = []
        for name in names:
            record = self._records.get(name)
            if record is not None and (record.is_restless() or 0.0 < limit_s <= record.silent_s):
                found.append(name)
        return found

    def _judged(self, seen: dict[str, Record], now: float) -> list[OutlierChange]:
        changes = self._let_in(seen, now)
        if not self.settings.enabled:
            return changes
        self._eject_runs(seen, now, changes)
        self._eject_silent(seen, now, changes)
        if now >= self._next_sweep:
            self._next_sweep = now + self.settings.interval_s
            self._sweep(now, changes)
        return changes

    def _let_in(self, seen: dict[str, Record], now: float) -> list[OutlierChange]:
        changes: list[OutlierChange] = []
        for name, record in seen.items():
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

    def _readmit(self, name: str, record: Record, reason: str, now: float) -> OutlierChange:
        record.ejected = False
        record.silent_since = 0.0
        record.in_since = now
        record.forget()
        return OutlierChange(name, False, reason, now, now)

    def _eject_runs(
        self, seen: dict[str, Record], now: float, changes: list[OutlierChange]
    ) -> None:
        settings = self.settings
        for name, record in seen.items():
            if record.ejected:
                continue
            every = record.every.in_a_row()
            gateway = record.gateway.in_a_row()
            local = record.local.in_a_row()
            unreached = record.unreached.in_a_row()
            most = settings.consecutive_failures
            advised = most > 1 and name in self.advised
            if advised:
                most = 1
            if 0 < most <= every:
                reason = f"{every} failures in a row"
                if advised:
                    reason += ", and another balancer has it out"
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

    def _eject_silent(
        self, seen: dict[str, Record], now: float, changes: list[OutlierChange]
    ) -> None:
        limit_s = self.settings.silence_s
        if limit_s <= 0.0:
            return
        for name, record in seen.items():
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
        record: Record,
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

    def _may_eject(self, candidate: Record, reached: bool) -> bool:
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
