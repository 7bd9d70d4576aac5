"""Priorities that somebody names must be ones that a pool has, and a queue must go by them."""

from collections.abc import Iterable, Mapping

from penstock.config.document.model import Document
from penstock.config.load.findings import Findings
from penstock.core import snapshot


def check_priorities(
    document: Document,
    pools: Mapping[str, snapshot.Pool],
    routes: Iterable[snapshot.Route],
    findings: Findings,
) -> None:
    """What has no effect is noted in ``findings``."""
    known = {name for pool in pools.values() for name in pool.admission.priorities}
    for name, tenant in (document.tenants or {}).items():
        if tenant.priority is not None and tenant.priority not in known:
            findings.wrong(
                ("tenants", name, "priority"),
                f"no pool knows the priority {tenant.priority!r}: give it a number in the "
                "`admission.priorities` of those that it is for, 0 for the most important",
            )
    places = {route.name or f"route-{n + 1}": n for n, route in enumerate(document.routes or ())}
    for compiled in routes:
        if compiled.priority < 0 or compiled.name not in places:
            continue
        waits = [each.pool for each in compiled.pools if _goes_by_it(pools.get(each.pool))]
        if not waits:
            findings.wrong(
                ("routes", places[compiled.name], "priority"),
                "has no effect: no pool of the route lets requests wait (`admission: {queue: …}`)",
            )


def _goes_by_it(pool: snapshot.Pool | None) -> bool:
    return pool is not None and pool.admission.queue is not None
