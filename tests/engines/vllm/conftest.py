"""Two vLLM servers on one host, and Penstock in front of them."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from penstock.fleet.balancer import BalancerProcess
from penstock.fleet.ports import hold
from tests.engines.status import until_read
from tests.engines.vllm.process import Vllm
from tests.harness.serving import start_balancer


@pytest.fixture(scope="session")
def environment() -> Path:
    """Where `make test-engines-vllm` installed it."""
    return Path(os.environ["VLLM_ENVIRONMENT"])


@pytest.fixture(scope="session")
def engines(environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Vllm]]:
    directory = tmp_path_factory.mktemp("vllm")
    model = directory / "model"
    maker = Path(__file__).with_name("tiny_model.py")
    subprocess.run([environment / "bin" / "python", str(maker), str(model)], check=True)
    ports = _free_ports(2)
    command = environment / "bin" / "vllm"
    with ExitStack() as stack:
        started = [
            stack.enter_context(Vllm(command, model, port, directory / "log")) for port in ports
        ]
        for engine in started:
            engine.wait_until_up()
        yield started


@pytest_asyncio.fixture
async def balancer(engines: list[Vllm], tmp_path: Path) -> AsyncIterator[BalancerProcess]:
    pool: dict[str, Any] = {
        "kind": "llm",
        "endpoints": [engine.url for engine in engines],
        "engine": {"kv_events": {}},
        "health_check": {"path": "/health", "interval": "500ms"},
    }
    document = {"pools": {"main": pool}, "workers": 1, "request_log": str(tmp_path / "requests")}
    started = await start_balancer(tmp_path, document)
    try:
        async with asyncio.timeout(60):
            await until_read(started, len(engines))
        yield started
    finally:
        await started.stop()


def _free_ports(count: int) -> list[int]:
    """vLLM binds its ports itself, and tells nobody which it chose."""
    held = [hold("127.0.0.1", 0) for _ in range(count)]
    for _, socket in held:
        if socket is not None:
            socket.close()
    return [port for port, _ in held]
