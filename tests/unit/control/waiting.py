"""Waiting, inside the event loop, for a condition instead of for a while."""

import asyncio
from collections.abc import Callable

PATIENCE_S = 20.0  # far more than anything here takes on a busy machine
_POLL_S = 0.005


async def until(condition: Callable[[], bool], what: str) -> None:
    """Return once ``condition`` holds. Raises AssertionError, saying ``what``, if it never does."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():  # noqa: ASYNC110 - it may lie in other processes
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        raise AssertionError(f"waited {PATIENCE_S:g} s in vain until {what}") from None
