"""Priorities that somebody names must be ones that a pool has, and a queue must go by them."""

from collections.abc import Iterable, Mapping

from penstock.config.document.model import Document
from penstock.config.load.findings import Findings
from penstock.core import snapshot


def check_priorities(
    document: Document,
    pools: Mapping[str, snapshot.Pool],
    routes: Iterable[snapshot.Route],
    listeners: Iterable[snapshot.Listener],
    findings: Findings,
) -> None:
    """What has no effect is noted in ``findings``."""
    there_are = document.tenants is not None or document.tenants_directory is not None
    if not there_are and not any(each.trusted_proxies for each in listeners):
        _doubt_headers(pools, findings)
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


def _doubt_headers(pools: Mapping[str, snapshot.Pool], findings: Findings) -> None:
    """Nobody is believed: there are no tenants, and no proxies that are trusted."""
    for name, pool in pools.items():
        if pool.admission.priority_header and not pool.admission.priority_clients:
            findings.doubtful(
                ("pools", name, "admission", "priority_header"),
                "is believed of nobody, so requests can only say that they are less important: "
                "name the clients who may say more in `priority_clients`",
            )


def _goes_by_it(pool: snapshot.Pool | None) -> bool:
    return pool is not None and pool.admission.queue is not None
