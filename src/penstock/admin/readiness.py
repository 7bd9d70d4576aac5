"""Whether clients should be sent here."""

from penstock.admin.view import Overview, PoolView


def unready_reasons(overview: Overview) -> list[str]:
    """Why not; empty when ready.

    Ready means: not stopping, at least one worker runs the newest snapshot, and at least one pool
    has an endpoint that may be picked, or starts one for the first request. One sick pool or one
    restarting worker among several does not make the whole balancer unready: taking it away would
    fail the traffic that it can serve.
    """
    if overview.stopping:
        return ["stopping"]
    reasons: list[str] = []
    generation = overview.generation
    if not generation:
        reasons.append("starting")
    elif not any(w.state == "ready" and w.generation >= generation for w in overview.workers):
        reasons.append("no worker runs the newest snapshot")
    if overview.pools and not any(_may_serve(pool) for pool in overview.pools):
        reasons.append("no pool has an available endpoint")
    return reasons


def _may_serve(pool: PoolView) -> bool:
    if any(endpoint.available for endpoint in pool.endpoints):
        return True
    return pool.scale is not None and pool.scale.wakes and not pool.scale.problem
