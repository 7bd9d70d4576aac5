"""Two llama.cpp servers and Penstock in front of them, shared by the tests of a file."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from penstock.fleet.balancer import BalancerProcess
from tests.engines.llamacpp.process import LlamaCpp
from tests.engines.status import until_read
from tests.harness.serving import start_balancer


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GGUF file of a tiny random model."""
    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    maker = Path(__file__).with_name("tiny_model.py")
    subprocess.run([sys.executable, str(maker), str(path)], check=True)
    return path


@pytest.fixture(scope="session")
def engines(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[LlamaCpp]]:
    logs = tmp_path_factory.mktemp("engines")
    with LlamaCpp(model, logs / "0.log") as first, LlamaCpp(model, logs / "1.log") as second:
        yield [first, second]


@pytest_asyncio.fixture
async def balancer(engines: list[LlamaCpp], tmp_path: Path) -> AsyncIterator[BalancerProcess]:
    """With what a person writes who has read the first page of the README."""
    pool: dict[str, Any] = {
        "kind": "llm",
        "endpoints": [engine.url for engine in engines],
        "health_check": {"path": "/health", "interval": "200ms"},
    }
    started = await start_balancer(tmp_path, {"pools": {"main": pool}, "workers": 1})
    try:
        async with asyncio.timeout(20):
            await until_read(started, len(engines))
        yield started
    finally:
        await started.stop()
