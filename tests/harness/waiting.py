"""Waiting for a condition instead of for a while."""

import time
from collections.abc import Callable

PATIENCE_S = 20.0  # far more than anything here takes on a busy machine
_POLL_S = 0.001


def wait_until(condition: Callable[[], bool], what: str, *, timeout_s: float = PATIENCE_S) -> None:
    """Return once ``condition`` holds. Raises AssertionError, saying ``what``, if it never does."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s:g} s in vain until {what}")
        time.sleep(_POLL_S)
