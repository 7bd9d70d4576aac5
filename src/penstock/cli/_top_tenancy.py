"""Tenants and limits in `penstock top`."""

from __future__ import annotations

from typing import Final

from rich.table import Table
from rich.text import Text

from penstock.cli._durations import spell_duration
from penstock.cli._top_state import Object, TopState, share_of
from penstock.cli._top_tables import BAD, CHOSEN, number, share, table_of, window

_FULL: Final = 0.95
_NEAR: Final = 0.8


def tenants_table(state: TopState, rows: int, chosen: int) -> Table:
    """The nearest to a limit of its own first."""
    numbers = ("taken", "rate/s", "tokens/s", "refused/s", "refused", "requests today")
    table = table_of(("tenant", "of"), (*numbers, "prompt", "output", "cost"))
    shown = state.shown_tenants()
    for index in window(chosen, len(shown), rows - 1):
        each = shown[index]
        table.add_row(
            Text(each["name"]),
            Text(each["fullest_limit"] or "–", style="dim"),
            _taken(each["fullest"]),
            number(each["rate"]),
            number(each["token_rate"]),
            _refused(each),
            number(each["refused"]),
            number(each["requests"]),
            number(each["prompt_tokens"]),
            number(each["output_tokens"]),
            number(each["cost"]),
            style=CHOSEN if index == chosen else "",
        )
    return table


def limits_table(state: TopState, rows: int, chosen: int) -> Table:
    """The fullest first."""
    numbers = ("taken", "amount", "per", "whole in", "refused/s", "refused")
    table = table_of(("limit", "most by"), numbers)
    shown = state.shown_limits()
    for index in window(chosen, len(shown), rows - 1):
        each = shown[index]
        most = each["fullest"][0] if each["fullest"] else None
        whole_at = most["whole_at"] if most is not None else None
        table.add_row(
            Text(each["name"]),
            Text("–" if most is None else most["subject"] or "all together"),
            _taken(share_of(each)),
            number(each["amount"]),
            each["per"] or "–",
            "–" if whole_at is None else spell_duration(max(0.0, whole_at - state.at)),
            _refused(each),
            number(each["refused"]),
            style=CHOSEN if index == chosen else "",
        )
    return table


def _taken(part: float | None) -> Text:
    style = "" if part is None or part < _NEAR else "yellow" if part < _FULL else BAD
    return Text(share(part), style=style)


def _refused(each: Object) -> Text:
    return Text(number(each["refused_rate"]), style=BAD if each["refused_rate"] else "dim")
