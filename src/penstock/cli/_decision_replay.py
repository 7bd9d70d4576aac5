"""``penstock simulate --decisions``: other policies on recorded decisions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table

from penstock.cli._output_file import writing
from penstock.config.document.choice import parse_policy
from penstock.sim.decisions import Summary, read_records, replay

_PIPED_WIDTH = 160


def replay_decisions(path: Path, policies: Sequence[str], seed: int, json: Path | None) -> None:
    """Show what the policies would have picked; write it as JSON too where a file is given.

    Raises click.ClickException when the file or a policy cannot be used.
    """
    if not policies:
        raise click.ClickException("name the policies to ask, each with -p: `-p least-request`")
    try:
        choices = [parse_policy(name) for name in policies]
        records = read_records(path)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    if not records:
        raise click.ClickException(f"{path} contains no recorded decisions")
    summaries = replay(records, choices, seed=seed)
    out = Console(highlight=False)
    if not out.is_terminal:
        out.width = max(out.width, _PIPED_WIDTH)  # for grep, which wants whole lines
    if json is not None:
        with writing(json):
            json.write_bytes(msgspec.json.encode(summaries))
    out.print(_table(summaries))  # last: its reader may be gone


def _table(summaries: Sequence[Summary]) -> Table:
    table = Table(box=None, padding=(0, 2), header_style="dim")
    for name in ("pool", "recorded", "policy"):
        table.add_column(name, no_wrap=True)
    for name in ("decisions", "different", "cost recorded", "cost then", "gain"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in summaries:
        costs = ("–", "–", "–")
        if each.judged:
            gain_s = each.recorded_cost_s - each.cost_s
            costs = (_ms(each.recorded_cost_s), _ms(each.cost_s), _ms(gain_s))
        share = each.different / each.decisions if each.decisions else 0.0
        table.add_row(
            each.pool, each.recorded, each.policy, str(each.decisions), f"{share:.1%}", *costs
        )
    return table


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.2f} ms"
