"""What scenario tests share."""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from tests.harness.balancer import Balancer, Document
from tests.harness.client_over_http2 import ClientOverHttp2
from tests.harness.unreachable import Refusing
from tests.harness.unreachable import black_hole as make_black_hole
from tests.harness.world import Address

FRONTS = os.environ.get("PENSTOCK_FRONTS", "http1").split(",")
Serve = Callable[[Document], Balancer]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests marked ``both_fronts`` are played over HTTP/2 as well, where ``make test-protocols``
    asks for it."""
    find = metafunc.definition.get_closest_marker
    if find("both_fronts") is not None and find("http1_only") is None:
        metafunc.parametrize("front", FRONTS, indirect=True)


@pytest.fixture(autouse=True)
def front(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What clients of workers speak."""
    spoken: str = getattr(request, "param", "http1")
    if spoken == "http2":
        monkeypatch.setattr("tests.harness.worker.Client", ClientOverHttp2)
    return spoken


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Runs the whole balancer; at the end of the test it is stopped and must end well."""
    with ExitStack() as stack:
        yield lambda document: stack.enter_context(Balancer(tmp_path, document))


@pytest.fixture
def dead() -> Iterator[Callable[[int], list[Address]]]:
    """Makes so many addresses at which connecting is refused."""
    with closing(Refusing()) as made:
        yield made


@pytest.fixture
def refusing(dead: Callable[[int], list[Address]]) -> Address:
    """An address at which connecting is refused."""
    return dead(1)[0]


@pytest.fixture
def black_holes() -> Iterator[Callable[[int], list[Address]]]:
    """Makes so many addresses at which nobody answers who wants to connect."""
    with ExitStack() as stack:
        yield lambda count: [stack.enter_context(make_black_hole()) for _ in range(count)]


@pytest.fixture
def black_hole(black_holes: Callable[[int], list[Address]]) -> Address:
    return black_holes(1)[0]


@pytest_asyncio.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as made:
        yield made
