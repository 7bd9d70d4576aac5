"""Tenants and limits, as the page shows them: one flat object for each."""

from collections import deque
from heapq import nlargest
from math import isfinite
from typing import Final

from penstock.admin.dashboard.counts import WINDOW_S
from penstock.admin.dashboard.document import Object, Section, short
from penstock.admin.view import LimitStateView, StandingView, Tenancy, TenantView

_STEP_S: Final = 2.0  # between two counts that are kept
_MOST: Final = 1000  # tenants, and limits: those that were asked for, or are full
_LONGEST: Final = 120  # characters of a subject: clients choose some


class _Counts:
    """At one moment."""

    def __init__(self, at: float, tenancy: Tenancy) -> None:
        self.at = at
        self.tenants = {each.name: _counted(each) for each in tenancy.tenants}
        self.limits = {each.name: (each.refused,) for each in tenancy.limits}


class TenancyDocuments:
    """Makes them. Rates are of the last ten seconds."""

    def __init__(self) -> None:
        self._kept: deque[_Counts] = deque(maxlen=round(WINDOW_S / _STEP_S) + 2)

    def document(self, tenancy: Tenancy, at: float, wall_s: float) -> dict[str, Section]:
        """Both sections, whole. ``at``: seconds of any clock; ``wall_s``: Unix time."""
        before, seconds = self._before(at, tenancy)
        tenants = nlargest(_MOST, tenancy.tenants, key=_interest)
        limits = nlargest(_MOST, tenancy.limits, key=_fullness)
        return {
            "tenants": {each.name: _tenant(each, before, seconds) for each in tenants},
            "limits": {each.name: _limit(each, before, seconds, wall_s) for each in limits},
        }

    def _before(self, at: float, tenancy: Tenancy) -> tuple[_Counts, float]:
        kept = self._kept
        while len(kept) > 1 and at - kept[1].at >= WINDOW_S:
            kept.popleft()
        if not kept or at - kept[-1].at >= _STEP_S:
            kept.append(_Counts(at, tenancy))
        return kept[0], at - kept[0].at


def _counted(tenant: TenantView) -> tuple[int, int, int]:
    return tenant.requests, tenant.prompt_tokens + tenant.output_tokens, tenant.refused


def _interest(tenant: TenantView) -> tuple[float, int, int]:
    return tenant.fullest or 0.0, tenant.refused, tenant.requests


def _fullness(limit: LimitStateView) -> tuple[float, int]:
    return (limit.fullest[0].taken / limit.amount if limit.fullest else 0.0), limit.refused


def _tenant(tenant: TenantView, before: _Counts, seconds: float) -> Object:
    rates = _rates(_counted(tenant), before.tenants.get(tenant.name), seconds)
    return {
        "name": tenant.name,
        "keys": tenant.keys,
        "requests": tenant.requests,
        "prompt_tokens": tenant.prompt_tokens,
        "cached_tokens": tenant.cached_tokens,
        "output_tokens": tenant.output_tokens,
        "cost": short(tenant.cost),
        "refused": tenant.refused,
        "rate": rates[0],
        "token_rate": rates[1],
        "refused_rate": rates[2],
        "fullest": _share(tenant.fullest),
        "fullest_limit": tenant.fullest_limit,
    }


def _limit(limit: LimitStateView, before: _Counts, seconds: float, wall_s: float) -> Object:
    return {
        "name": limit.name,
        "counts": limit.counts,
        "per": limit.per,
        "budget": limit.budget,
        "by": list(limit.by),
        "amount": short(limit.amount),
        "refused": limit.refused,
        "refused_rate": _rates((limit.refused,), before.limits.get(limit.name), seconds)[0],
        "overflowed": limit.overflowed,
        "fullest": [
            {
                "subject": " · ".join(each.subject.split("\n"))[:_LONGEST],
                "share": _share(each.taken / limit.amount),
                "taken": short(each.taken),
                "whole_at": _whole_at(limit, each, wall_s),
            }
            for each in limit.fullest
            if each.taken > 0.0
        ],
    }


def _rates(now: tuple[int, ...], before: tuple[int, ...] | None, seconds: float) -> list[float]:
    """A new day begins its counts anew."""
    if before is None or seconds <= 0.0:
        return [0.0] * len(now)
    return [short(max(n - b, 0) / seconds) for n, b in zip(now, before, strict=True)]


def _whole_at(limit: LimitStateView, standing: StandingView, wall_s: float) -> int | None:
    """In Unix time, which stays while nothing is taken. Nobody knows it of places."""
    if limit.counts == "concurrent" or not isfinite(standing.whole_s):
        return None
    return round(wall_s + standing.whole_s)


def _share(share: float | None) -> float | None:
    return None if share is None else round(share, 3)
