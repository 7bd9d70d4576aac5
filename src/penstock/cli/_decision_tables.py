"""What ``penstock ctl explain``, ``decisions`` and ``shadow`` show."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from penstock.cli._durations import spell_duration

_PIPED_WIDTH = 200
_LATE = "bold yellow"
_LIST_WIDTH = 140
_GAP = 2  # between two columns
# Rows of a candidate before its terms, and what a record calls them.
_SEEN = (
    ("in flight", "in_flight"),
    ("here", "here"),
    ("queued tokens", "queued_tokens"),
    ("KV tokens", "kv_tokens"),
    ("report age", "report_age_s"),
)
# Who chose, where it was not the policy.
_CHOSEN_BY = {"cookie": "a sticky cookie", "answer": "the answer that it continues"}
Record = dict[str, Any]


def print_explanation(record: Record, console: Console | None = None) -> None:
    """One recorded choice: who could have been picked, why it was this one, what came of it."""
    out = _console(console)
    for part in explanation(record, out.width):
        out.print(part)


def explanation(record: Record, width: int) -> Iterator[RenderableType]:
    """What is shown of it, line by line and table by table, in that many columns."""
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record["time"]))
    headline = Text(f"request {_shown(record['id'])}", style="bold")
    headline.append(f"  {when}, pool {record['pool']}, attempt {record['attempt']}", "not bold")
    yield headline
    yield Text(_request_line(record["request"]) + "\n")
    yield from _candidates(record, width)
    if record.get("left_out"):
        yield Text(f"and {record['left_out']} more, ranked lower")
    by = _CHOSEN_BY.get(record["by"], f"the policy {record['policy']}")
    address = record.get("came_true", {}).get("address") or record["picked"]
    at = "" if address == record["picked"] else f" at {address}"
    yield Text(f"\npicked {record['picked']}{at}, by {by}")
    yield _outcome(record)
    for policy, found in record.get("shadow", {}).items():
        same = "the same" if found["picked"] == record["picked"] else found["picked"]
        line = f"{policy} (shadow) would have picked {same}"
        if found["cost_s"] is not None and found["live_cost_s"] is not None:
            cost, live = spell_duration(found["cost_s"]), spell_duration(found["live_cost_s"])
            line += f": {cost} instead of {live}"
        yield Text(line)


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


def _candidates(record: Record, width: int) -> Iterator[Table]:
    """One column for each candidate, the best first, and one row for each term; as many tables
    beside and below each other as the width asks for."""
    candidates = sorted(record["candidates"], key=_rank)
    rows = [
        (title, [_cell(key, each.get(key)) for each in candidates])
        for title, key in _SEEN
        if any(key in each for each in candidates)
    ]
    terms = dict.fromkeys(name for each in candidates for name in each["terms"])
    rows += [
        (name.removesuffix("_s"), [_cell(name, each["terms"].get(name)) for each in candidates])
        for name in terms
    ]
    titles = max(len(title) for title, _ in [("", []), *rows])
    names = [_candidate_name(each, record) for each in candidates]
    widths = [max(len(name), *(len(cells[at]) for _, cells in rows), 0)
              for at, name in enumerate(names)]  # fmt: skip
    first = 0
    while first < len(candidates):
        end = first + 1
        used = titles + _GAP + widths[first]
        while end < len(candidates) and used + _GAP + widths[end] <= width:
            used += _GAP + widths[end]
            end += 1
        table = _plain_table()
        table.add_column("")
        for each, name in list(zip(candidates, names, strict=True))[first:end]:
            picked = each["endpoint"] == record["picked"]
            style = "bold green" if picked else ""
            table.add_column(Text(name, style=style), justify="right", overflow="fold")
        for title, cells in rows:
            table.add_row(title, *cells[first:end])
        yield table
        first = end


def _candidate_name(candidate: Record, record: Record) -> str:
    picked = candidate["endpoint"] == record["picked"]
    return f"→ {candidate['endpoint']}" if picked else str(candidate["endpoint"])


def _plain_table() -> Table:
    return Table(box=None, padding=(0, _GAP, 0, 0), header_style="dim", pad_edge=False)


def _rank(candidate: Record) -> float:
    terms = candidate["terms"]
    for name, sign in (("cost", 1.0), ("score", -1.0)):
        if terms.get(name) is not None:
            return sign * float(terms[name])
    return 0.0


def _outcome(record: Record) -> Table:
    predicted, true = record.get("predicted", {}), record.get("came_true")
    table = _plain_table()
    for name in ("", "predicted", "came true"):
        table.add_column(name, justify="right" if name else "left")
    rows = (
        ("first byte", "ttft_s"),
        ("whole answer", "total_s"),
        ("prompt tokens", "prompt_tokens"),
        ("cached tokens", "cached_tokens"),
        ("output tokens", "output_tokens"),
    )
    for title, key in rows:
        both = predicted.get(key), (true or {}).get(key)
        if any(value is not None for value in both):
            table.add_row(title, *[_cell(key, value) for value in both])
    if true is None:
        table.add_row("end", "", "still running")
    else:
        status = f"{true['status']}, " if true["status"] else ""
        ended = f"{status}{true['end']} after {spell_duration(true['total_s'])}"
        table.add_row("end", "", Text(ended, style="" if true["end"] == "done" else _LATE))
    return table


def print_decisions(records: list[Record], console: Console | None = None) -> None:
    """A line for each of the recorded choices; wider than a narrow terminal, as ids are copied."""
    out = _console(console)
    out.width = max(out.width, _LIST_WIDTH)
    table = _plain_table()
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
            true.get("end", "running"),
        )
    out.print(table)


def print_shadows(pools: list[Record], console: Console | None = None) -> None:
    """What shadow policies would do differently."""
    out = _console(console)
    out.width = max(out.width, _LIST_WIDTH)
    table = _plain_table()
    for name in ("pool", "policy", "shadow policy"):
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
    """A client's text with terminal control characters escaped."""
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
    return spell_duration(value) if key.endswith("_s") else f"{value:.6g}"
