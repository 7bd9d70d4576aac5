"""What ``penstock ctl explain``, ``decisions`` and ``shadow`` show."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

_PIPED_WIDTH = 200
_LATE = "bold yellow"
# Columns of a candidate before its terms, and what a record calls them.
_SEEN = (
    ("in flight", "in_flight"),
    ("here", "here"),
    ("queued tokens", "queued_tokens"),
    ("KV tokens", "kv_tokens"),
    ("report age", "report_age_s"),
)
# Who chose, where it was not the policy.
_CHOSEN_BY = {"cookie": "a sticky cookie", "answer": "the answer that it goes on from"}
Record = dict[str, Any]


def print_explanation(record: Record, console: Console | None = None) -> None:
    """One recorded choice: who could have been picked, why it was this one, what came of it."""
    out = _console(console)
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record["time"]))
    out.print(Text(f"request {_shown(record['id'])}", style="bold"), end="")
    out.print(f"  {when}, pool {record['pool']}, attempt {record['attempt']}")
    out.print(Text(_request_line(record["request"])))
    out.print()
    out.print(_candidates(record))
    if record.get("left_out"):
        out.print(f"and {record['left_out']} more that ranked lower")
    by = _CHOSEN_BY.get(record["by"], f"the policy {record['policy']}")
    out.print(Text(f"\npicked {record['picked']}, by {by}"))
    out.print(_outcome(record))
    for policy, found in record.get("shadow", {}).items():
        same = "the same" if found["picked"] == record["picked"] else found["picked"]
        line = f"{policy} in the shadow would have picked {same}"
        if found["cost_s"] is not None and found["live_cost_s"] is not None:
            line += f": {_seconds(found['cost_s'])} instead of {_seconds(found['live_cost_s'])}"
        out.print(Text(line))


def _request_line(request: Record) -> str:
    line = f"{request['method']} {_shown(request['path'])}"
    if "prompt_tokens" in request:
        blocks = len(request["blocks"]) // 16
        line += (
            f", model {_shown(request['model'])}, about {request['prompt_tokens']} prompt tokens "
            f"in {blocks} blocks, {request['output_tokens']} output tokens expected"
        )
    for key in ("session", "key"):
        if key in request:
            line += f", {key} {request[key]}"
    return line


def _candidates(record: Record) -> Table:
    candidates = record["candidates"]
    seen = [(title, key) for title, key in _SEEN if any(key in each for each in candidates)]
    terms = list(dict.fromkeys(name for each in candidates for name in each["terms"]))
    table = Table(box=None, padding=(0, 2), header_style="dim")
    table.add_column("")
    table.add_column("candidate", no_wrap=True)
    for title, _ in seen:
        table.add_column(title, justify="right")
    for name in terms:
        table.add_column(name.removesuffix("_s"), justify="right")
    for each in sorted(candidates, key=_rank):
        picked = each["endpoint"] == record["picked"]
        table.add_row(
            "→" if picked else "",
            Text(each["endpoint"], style="bold green" if picked else ""),
            *[_cell(key, each.get(key)) for _, key in seen],
            *[_cell(name, each["terms"].get(name)) for name in terms],
        )
    return table


def _rank(candidate: Record) -> float:
    terms = candidate["terms"]
    for name, sign in (("cost", 1.0), ("score", -1.0)):
        if terms.get(name) is not None:
            return sign * float(terms[name])
    return 0.0


def _outcome(record: Record) -> Table:
    predicted, true = record.get("predicted", {}), record.get("came_true")
    table = Table(box=None, padding=(0, 2), header_style="dim")
    for name in ("", "predicted", "came true"):
        table.add_column(name, justify="right" if name else "left")
    rows = (
        ("first byte", "ttft_s"),
        ("prompt tokens", "prompt_tokens"),
        ("cached tokens", "cached_tokens"),
        ("output tokens", "output_tokens"),
    )
    for title, key in rows:
        both = predicted.get(key), (true or {}).get(key)
        if any(value is not None for value in both):
            table.add_row(title, *[_cell(key, value) for value in both])
    if true is None:
        table.add_row("end", "", "runs still")
    else:
        status = f"{true['status']}, " if true["status"] else ""
        ended = f"{status}{true['end']} after {_seconds(true['total_s'])}"
        table.add_row("end", "", Text(ended, style="" if true["end"] == "done" else _LATE))
    return table


def print_decisions(records: list[Record], console: Console | None = None) -> None:
    """A line for each of the recorded choices."""
    out = _console(console)
    table = Table(box=None, padding=(0, 2), header_style="dim")
    for name in ("time", "request", "pool", "picked"):
        table.add_column(name, no_wrap=True)
    for name in ("of", "prompt", "cached, predicted", "first byte, predicted"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("end", no_wrap=True)
    for record in records:
        true = record.get("came_true") or {}
        predicted = record.get("predicted", {})
        table.add_row(
            time.strftime("%H:%M:%S", time.localtime(record["time"])),
            Text(_shown(record["id"])),
            record["pool"],
            record["picked"],
            str(len(record["candidates"]) + record.get("left_out", 0)),
            _cell("tokens", record["request"].get("prompt_tokens")),
            _pair("tokens", true.get("cached_tokens"), predicted.get("cached_tokens")),
            _pair("ttft_s", true.get("ttft_s"), predicted.get("ttft_s")),
            true.get("end", "runs"),
        )
    out.print(table)


def print_shadows(pools: list[Record], console: Console | None = None) -> None:
    """What policies in the shadow would do otherwise."""
    out = _console(console)
    table = Table(box=None, padding=(0, 2), header_style="dim")
    for name in ("pool", "policy", "in the shadow"):
        table.add_column(name, no_wrap=True)
    for name in ("decisions", "different", "cost now", "cost then", "gain"):
        table.add_column(name, justify="right", no_wrap=True)
    for pool in pools:
        for each in pool["shadow"]:
            share = each["different_share"]
            table.add_row(
                pool["name"],
                pool["policy"],
                each["policy"],
                str(each["decisions"]),
                "–" if share is None else f"{share:.1%}",
                _cell("cost_s", each["live_cost_s"]),
                _cell("cost_s", each["cost_s"]),
                _cell("cost_s", each["regret_s"]),
            )
    out.print(table)


def _shown(text: str) -> str:
    """What a client made up: whatever would command a terminal is escaped."""
    return text if text.isprintable() else repr(text)[1:-1]


def _console(console: Console | None) -> Console:
    out = console if console is not None else Console(highlight=False)
    if not out.is_terminal:
        out.width = max(out.width, _PIPED_WIDTH)  # for grep, which wants whole lines
    return out


def _pair(key: str, true: float | None, predicted: float | None) -> str:
    return f"{_cell(key, true)}, {_cell(key, predicted)}"


def _cell(key: str, value: float | None) -> str:
    if value is None:
        return "–"
    return _seconds(value) if key.endswith("_s") else f"{value:.6g}"


def _seconds(value: float) -> str:
    size = abs(value)
    if size >= 10.0:
        return f"{value:.0f} s"
    if size >= 1.0:
        return f"{value:.2f} s"
    return f"{value * 1e3:.2f} ms"
