"""From the document to the snapshot: limits of routes and pools."""

from penstock.config.document.limits import compiled_limits
from penstock.config.document.pools import Pool
from penstock.config.document.routes import Route
from penstock.config.load.errors import Location
from penstock.config.load.findings import Findings
from penstock.core import snapshot


def compile_limits(
    section: Route | Pool, name: str, at: Location, findings: Findings, *, protocol: str = "http"
) -> tuple[snapshot.Limit, ...]:
    """Of a route or a pool of that name."""
    if not section.limits and not section.budgets:
        return ()
    here = (*at, "limits" if section.limits else "budgets")
    if protocol != "http":
        findings.wrong(here, "counts requests of HTTP, which a pool of connections has none of")
    if isinstance(section, Route) and not (section.pool or section.pools):
        findings.wrong(here, "needs a `pool` or `pools` beside it")
    kind = "route" if isinstance(section, Route) else "pool"
    with findings.noting(here):
        return compiled_limits(section.limits, section.budgets, f"{kind} {name}")
    return ()
