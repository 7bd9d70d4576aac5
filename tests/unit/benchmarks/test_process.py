"""Processes of a benchmark, and its own."""

import subprocess
import sys

import pytest

from tests.harness.waiting import PATIENCE_S

MINDING = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
IGNORING = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
SCRIPT = """
import asyncio
from benchmarks.process import end_in_order_when_terminated

async def measure():
    try:
        print("measuring", flush=True)
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        print("in order", flush=True)
        raise

end_in_order_when_terminated()
try:
    asyncio.run(measure())
except KeyboardInterrupt:
    print("ended", flush=True)
"""


@pytest.mark.parametrize("ctrl_c", [MINDING, IGNORING], ids=["foreground", "background"])
def test_sigterm_ends_what_runs_in_order(ctrl_c: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ctrl_c + SCRIPT], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "measuring\n"
            process.terminate()
            said, _ = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
    assert said == "in order\nended\n"
    assert process.returncode == 0
