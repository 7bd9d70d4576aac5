"""A balancer before emulated engines, and programs of others that are told its address."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio

from tests.clients.install import REQUIREMENTS
from tests.harness.serving import Serving, serving

CLIENTS: Final = Path(os.environ.get("CLIENTS", "build/clients")).absolute()
SCRIPTS: Final = Path(__file__).parent / "scripts"
PATIENCE_S: Final = 600.0  # they import a hundred megabytes first, and the machine may be busy


@pytest_asyncio.fixture
async def served(tmp_path: Path) -> AsyncIterator[Serving]:
    """Two engines that take a millisecond a token."""
    async with serving(tmp_path) as site:
        yield site


def of_client(name: str, program: str = "python") -> str:
    """A program of that client's environment. Skips with the reason where it is not there."""
    folder = CLIENTS / name
    if not (folder / "installed").exists():
        failed = folder / "failed"
        why = failed.read_text() if failed.exists() else "run `make test-clients`"
        pytest.skip(f"{', '.join(REQUIREMENTS[name])}: {why}")
    return str(folder / "bin" / program)


async def output(*command: str, directory: Path, **environ: str) -> str:
    """What it prints. Raises AssertionError with all it said where it fails."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=directory,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        # What would ask other machines is told not to; nothing of this environment is inherited.
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            "HF_HUB_OFFLINE": "1",
            "LANGSMITH_TRACING": "false",
            "NO_COLOR": "1",
            **environ,
        },
    )
    try:
        told, complained = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    except TimeoutError:
        process.kill()
        told, complained = await process.communicate()
        raise AssertionError(f"not done after {PATIENCE_S} s:\n{complained.decode()}") from None
    assert process.returncode == 0, f"{told.decode()}\n{complained.decode()}"
    return told.decode()


async def script(client: str, name: str, *arguments: str, directory: Path) -> dict[str, Any]:
    """What a script of ours prints, run by that client's environment."""
    command: Sequence[str] = (of_client(client), str(SCRIPTS / name), *arguments)
    printed = await output(*command, directory=directory)
    told: dict[str, Any] = json.loads(printed.strip().rpartition("\n")[2])
    return told
