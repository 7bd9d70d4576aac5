"""Who used how much today, and how full limits are, as the dashboard shows it."""

from typing import Final

from penstock.admin.view import LimitStateView, StandingView, Tenancy, TenantView
from penstock.control.tenants.limits import WorkerLimits
from penstock.control.tenants.usage import Usage, UsageRow
from penstock.core.limits.allowances import OVERFLOW
from penstock.core.limits.rules import limits_in
from penstock.core.snapshot import Limit, Snapshot, Tenant

_MOST_STANDINGS: Final = 8  # of a limit
_OTHERS: Final = "(others)"  # that found no place of their own

_Standings = dict[str, list[StandingView]]


def tenancy(snapshot: Snapshot, limits: WorkerLimits, usage: Usage) -> Tenancy:
    """At this moment."""
    standings: _Standings = {}
    amounts: dict[str, float] = {}
    for each in limits.standings(_MOST_STANDINGS):
        subject = _OTHERS if each.subject == OVERFLOW else each.subject
        shown = StandingView(subject, each.taken, each.whole_s)
        standings.setdefault(each.limit.name, []).append(shown)
        amounts[each.limit.name] = each.most
    refused, overflowed = limits.refused, limits.owner.overflowed()
    used = usage.today()
    tenants = {each.name: each for each in (*snapshot.tenants, *snapshot.found_tenants)}
    return Tenancy(
        tuple(
            _tenant(tenants.get(name), name, used.get(name), refused, standings, amounts)
            for name in {**tenants, **used}
        ),
        tuple(
            LimitStateView(
                name=each.name,
                counts=each.counts,
                per=each.per,
                budget=each.budget,
                by=each.by,
                amount=amounts.get(each.name, each.burst or each.amount),
                refused=refused.get(each.name, 0),
                overflowed=overflowed.get(each.name, 0),
                fullest=tuple(standings.get(each.name, ())),
            )
            for each in limits_in(snapshot)
        ),
    )


def _tenant(
    tenant: Tenant | None,
    name: str,
    used: UsageRow | None,
    refused: dict[str, int],
    standings: _Standings,
    amounts: dict[str, float],
) -> TenantView:
    own = _limits(tenant)
    shares = [
        (standings[each.name][0].taken / amounts[each.name], each.name)
        for each in own
        if each.name in standings
    ]
    share, limit = max(shares, default=(0.0 if own else None, ""))
    return TenantView(
        name=name,
        keys=len(tenant.keys) if tenant is not None else 0,
        requests=used.requests if used is not None else 0,
        prompt_tokens=used.prompt_tokens if used is not None else 0,
        cached_tokens=used.cached_tokens if used is not None else 0,
        output_tokens=used.output_tokens if used is not None else 0,
        cost=used.cost if used is not None else 0.0,
        refused=sum(refused.get(each.name, 0) for each in own),
        fullest=share,
        fullest_limit=limit,
    )


def _limits(tenant: Tenant | None) -> list[Limit]:
    if tenant is None:
        return []
    return [*tenant.limits, *(limit for key in tenant.keys for limit in key.limits)]
