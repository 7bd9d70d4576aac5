"""Health checks of real endpoints: verdicts follow the results, and reloads the configuration."""

from collections.abc import AsyncIterator

import pytest

from penstock.control.endpoint_contexts import EndpointContexts
from penstock.control.endpoints.checks import HealthChecks
from penstock.control.endpoints.states import EndpointStates
from penstock.control.events import Events
from penstock.core.snapshot import HealthCheck, Pool
from penstock.dataplane.board.memory import Board
from tests.harness.http_endpoint import Answer, HttpEndpoint
from tests.harness.world import at
from tests.unit.control.waiting import until
from tests.unit.control.worlds import world

OFTEN = HealthCheck(
    kind="http", path="/health", interval_s=0.02, fast_interval_s=0.01, timeout_s=5.0
)


class Site:
    def __init__(self, board: Board, events: Events) -> None:
        self.states = EndpointStates(board, events)
        self.checks = HealthChecks(self.states, events, EndpointContexts())
        self._rows: dict[str, int] = {}

    def run(self, check: HealthCheck | None, *places: HttpEndpoint) -> None:
        rows = [self._rows.setdefault(place.name, len(self._rows)) for place in places]
        endpoints = tuple(at(place, row=row) for place, row in zip(places, rows, strict=True))
        snapshot = world([Pool(name="a", endpoints=endpoints, health_check=check)])
        self.states.add_new(snapshot.pools)
        self.states.configure(snapshot.pools)
        self.checks.configure(snapshot)

    async def becomes(self, place: HttpEndpoint, state: str) -> str:
        """Wait for that state; its reason."""
        await until(lambda: self.states.of("a", place.name).shown == state, f"it is {state}")
        return self.states.of("a", place.name).cause.reason


@pytest.fixture
async def site(board: Board, events: Events) -> AsyncIterator[Site]:
    made = Site(board, events)
    yield made
    await made.checks.stop()


async def test_the_first_check_decides_at_once(
    site: Site, endpoint: HttpEndpoint, other_endpoint: HttpEndpoint
) -> None:
    other_endpoint.answer = lambda request: Answer(status=500)
    site.run(OFTEN, endpoint, other_endpoint)
    assert await site.becomes(endpoint, "up") == "first check: answered 200"
    assert await site.becomes(other_endpoint, "down") == "first check: answered 500, not 200–399"


async def test_fall_and_rise(site: Site, endpoint: HttpEndpoint) -> None:
    site.run(OFTEN, endpoint)
    await site.becomes(endpoint, "up")
    endpoint.answer = lambda request: Answer(status=503)
    assert (await site.becomes(endpoint, "down")).startswith("3 checks in a row failed")
    endpoint.answer = lambda request: Answer(status=200)
    assert (await site.becomes(endpoint, "up")).startswith("2 checks in a row passed")
    assert site.checks.last_result("a", endpoint.name) == "answered 200"


async def test_unchanged_checks_go_on_over_a_reload(
    site: Site, endpoint: HttpEndpoint, other_endpoint: HttpEndpoint, events: Events
) -> None:
    site.run(OFTEN, endpoint)
    await site.becomes(endpoint, "up")
    site.run(OFTEN, endpoint, other_endpoint)
    await site.becomes(other_endpoint, "up")
    assert len(events.recent(9)) == 2, "the first one's verdict was not made anew"


async def test_a_removed_endpoint_is_checked_no_more(
    site: Site, endpoint: HttpEndpoint, other_endpoint: HttpEndpoint
) -> None:
    site.run(OFTEN, endpoint, other_endpoint)
    await site.becomes(endpoint, "up")
    site.run(OFTEN, other_endpoint)
    await site.becomes(other_endpoint, "up")
    endpoint.forget()
    asked = len(other_endpoint.requests)
    await until(lambda: len(other_endpoint.requests) > asked + 5, "the other was checked")
    assert len(endpoint.requests) <= 1, "at most the check that was under way"


async def test_another_path_is_asked_after_a_reload(site: Site, endpoint: HttpEndpoint) -> None:
    endpoint.answer = lambda request: Answer(status=200 if request.target == "/health" else 404)
    site.run(OFTEN, endpoint)
    await site.becomes(endpoint, "up")
    elsewhere = HealthCheck(kind="http", path="/elsewhere", interval_s=0.02, timeout_s=5.0)
    site.run(elsewhere, endpoint)
    assert await site.becomes(endpoint, "down") == "first check: answered 404, not 200–399"


async def test_no_checks_no_verdict(site: Site, endpoint: HttpEndpoint) -> None:
    site.run(OFTEN, endpoint)
    await site.becomes(endpoint, "up")
    site.run(None, endpoint)
    assert await site.becomes(endpoint, "up") == "no health check is configured"
    assert site.checks.last_result("a", endpoint.name) == ""


async def test_one_of_which_another_balancer_thinks_otherwise_is_checked_at_once(
    site: Site, endpoint: HttpEndpoint
) -> None:
    site.run(HealthCheck(kind="http", interval_s=3600.0), endpoint)
    await site.becomes(endpoint, "up")
    asked = len(endpoint.requests)
    site.checks.hurry("a", endpoint.name)
    await until(lambda: len(endpoint.requests) > asked, "it is checked")
    site.checks.hurry("a", "none")
