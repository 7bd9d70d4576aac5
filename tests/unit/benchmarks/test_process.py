"""Processes of a benchmark, and its own."""

import subprocess
import sys

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


def test_sigterm_ends_what_runs_in_order() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "measuring\n"
        process.terminate()
        assert process.stdout.read() == "in order\nended\n"
    assert process.returncode == 0
