"""Reading a request log while it is written."""

import json
from pathlib import Path
from typing import Any

from tests.harness.waiting import wait_until


def lines_of(log: Path, count: int) -> list[dict[str, Any]]:
    """The lines, once there are so many."""
    wait_until(lambda: len(log.read_bytes().splitlines()) >= count, f"{count} lines are written")
    return [json.loads(line) for line in log.read_text().splitlines()]
