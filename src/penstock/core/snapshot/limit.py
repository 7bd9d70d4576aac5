"""How much may be asked for."""

from __future__ import annotations

from typing import Literal

from penstock.core.snapshot.data import Data

Counted = Literal[
    "requests", "concurrent", "input_tokens", "output_tokens", "tokens", "cost", "bytes"
]
Per = Literal["", "second", "minute", "hour", "day", "week", "month", "ever"]


class Limit(Data, frozen=True):
    """So much of one thing. ``name`` is no other limit's, and stays over reloads and restarts.

    A budget begins anew with each day, week or month (UTC), or never; any other flows back all the
    time. ``by``: what is counted apart, each with the whole amount: tenant, key, user, model,
    address, or header:NAME in lower case.
    """

    name: str
    counts: Counted
    amount: float
    per: Per = ""  # "": of what is counted at present, as concurrent is
    budget: bool = False
    burst: float = 0.0  # of it at once; 0: all
    by: tuple[str, ...] = ()
    # How much of an answer is set aside before it comes: all it may have, or what is to be expected
    reserve: Literal["limit", "expected"] = "limit"


class Price(Data, frozen=True):
    """Of a million tokens, in any currency."""

    input: float = 0.0
    output: float = 0.0
    cached: float = -1.0  # of the prompt, told by the engine; below 0: as any other
