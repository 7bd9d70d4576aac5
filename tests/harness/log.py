"""Reading a log while it is written."""

import json
from pathlib import Path
from typing import Any

from tests.harness.waiting import wait_until


def whole_lines(log: Path) -> list[str]:
    """Those with an end: of the last one a part may be there (write(2) is not all at once)."""
    return log.read_text().rpartition("\n")[0].splitlines() if log.exists() else []


def texts_of(log: Path, count: int) -> list[str]:
    """The lines as they are, once there are so many."""
    wait_until(lambda: len(whole_lines(log)) >= count, f"{count} lines are written")
    return whole_lines(log)


def lines_of(log: Path, count: int) -> list[dict[str, Any]]:
    """The lines, once there are so many."""
    return [json.loads(line) for line in texts_of(log, count)]
