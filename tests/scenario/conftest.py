"""What scenario tests share."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from tests.harness.balancer import Balancer, Document

Serve = Callable[[Document], Balancer]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Runs the whole balancer; at the end of the test it is stopped and must end well."""
    with ExitStack() as stack:
        yield lambda document: stack.enter_context(Balancer(tmp_path, document))


@pytest_asyncio.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as made:
        yield made
