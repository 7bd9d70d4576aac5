"""Health checks that tell little of health."""

from penstock.config.document.pools import Pool
from penstock.config.load.errors import Location
from penstock.config.load.findings import Findings


def doubt_health_check(pool: Pool, at: Location, findings: Findings) -> None:
    """What answers every path with 404 serves nothing, and would pass."""
    check = pool.health_check
    if check is None or check.kind != "http":
        return
    if not any(low <= 404 <= high for low, high in check.expect_statuses):
        return
    has_backup = any(endpoint.backup for endpoint in pool.endpoints)
    backup = " A backup of 404 pages would take over." if has_backup else ""
    findings.doubtful(
        (*at, "health_check"),
        "404 counts as healthy here, so an endpoint that has lost its pages, or never had any, is "
        f"in service.{backup} Check a `path` that it answers with 200",
    )
