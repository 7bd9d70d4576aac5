"""What scenario tests share."""

import socket
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


@pytest.fixture
def free_port() -> Iterator[int]:
    """A port that nobody listens on, and that the system gives to nobody else meanwhile.

    It stays bound, so that it is not handed out as an ephemeral one; who wants it in earnest
    sets SO_REUSEADDR.
    """
    with socket.socket() as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest_asyncio.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as made:
        yield made
