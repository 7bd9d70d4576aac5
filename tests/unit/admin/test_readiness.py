"""Ready means that clients sent here can be served."""

import pytest
from msgspec.structs import replace

from penstock.admin.readiness import unready_reasons
from penstock.admin.view import Overview
from tests.unit.admin.balancer import endpoint, overview, pool, worker

_SICK = endpoint("e0", 0, available=False)


@pytest.mark.parametrize(
    "shown",
    [
        overview(),
        overview(workers=[worker(0), worker(1, state="restarting", generation=0)]),
        overview(workers=[worker(0), worker(1, generation=2)]),
        overview(pool("sick", 0, _SICK), pool("well", 1, endpoint("e1", 1))),
        overview(pool("main", 0, _SICK, endpoint("e1", 1, state="starting"))),
    ],
    ids=["all well", "a worker restarts", "a worker is behind", "a pool is sick", "one is left"],
)
def test_ready(shown: Overview) -> None:
    assert unready_reasons(shown) == []


@pytest.mark.parametrize(
    ("shown", "reason"),
    [
        (overview(stopping=True), "stopping"),
        (overview(generation=0, workers=[worker(0, generation=0)]), "starting"),
        (overview(workers=[worker(0, generation=2)]), "no worker runs the newest snapshot"),
        (overview(workers=[worker(0, state="starting")]), "no worker runs the newest snapshot"),
        (overview(pool("main", 0, _SICK)), "no pool has an available endpoint"),
    ],
)
def test_not_ready(shown: Overview, reason: str) -> None:
    assert unready_reasons(shown) == [reason]


def test_a_balancer_that_only_redirects_needs_no_pool() -> None:
    assert unready_reasons(replace(overview(), pools=())) == []
