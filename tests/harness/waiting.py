"""Waiting for a condition instead of for a while."""

import time
from collections.abc import Callable

PATIENCE_S = 20.0  # far more than anything here takes on a busy machine
# Between two looks: a tenth of what was waited so far, that what is waited for has the processor.
_SHORTEST_S, _LONGEST_S = 0.001, 0.05


def wait_until(condition: Callable[[], bool], what: str, *, timeout_s: float = PATIENCE_S) -> None:
    """Return once ``condition`` holds. Raises AssertionError, saying ``what``, if it never does."""
    began = time.monotonic()
    while not condition():
        waited_s = time.monotonic() - began
        if waited_s > timeout_s:
            raise AssertionError(f"waited {timeout_s:g} s in vain until {what}")
        time.sleep(min(max(_SHORTEST_S, waited_s / 10.0), _LONGEST_S))
