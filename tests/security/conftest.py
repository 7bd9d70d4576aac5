"""The balancer that the tables are tried on."""

from collections.abc import Iterator

import pytest

from tests.security.site import DELIVERIES, Delivery, Site


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """One worker before one endpoint; cases leave it as they found it."""
    with Site() as made:
        yield made


@pytest.fixture(params=DELIVERIES, ids=["whole", "bytewise"])
def deliver(request: pytest.FixtureRequest) -> Delivery:
    """Bad input is refused alike whether it comes at once or byte by byte."""
    chosen: Delivery = request.param
    return chosen
