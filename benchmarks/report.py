"""Results as tables: for the terminal as Markdown reads well in both."""

from collections.abc import Sequence

from benchmarks.data import Record
from benchmarks.rounds import Result, Spread
from benchmarks.scenarios import Scenario


def section(scenario: Scenario, result: Result, *, everything: bool = True) -> str:
    """Heading, method, table, targets, and what is not there."""
    parts = [f"## {scenario.title}", scenario.method]
    parts.append(table(scenario, result, everything=everything))
    if reached := targets(scenario, result):
        parts.append("\n".join([f"- {line}" for line in reached]))
    if result.failures:
        parts.append("\n".join([f"- {row}: failed: {why}" for row, why in result.failures.items()]))
    return "\n\n".join(parts)


def table(scenario: Scenario, result: Result, *, everything: bool = True) -> str:
    """One row for each case; a ratio is the median of those of each round (least–greatest).

    ``everything`` that was seen besides, or only what the scenario wants shown.
    """
    extra = [title for title in result.columns() if everything or title in scenario.shown]
    titles = list(dict.fromkeys([title for to in result.baselines.values() for title in to]))
    rows = [["", scenario.unit, *[f"÷ {title}" for title in titles], *extra]]
    for label in result.samples:
        to = result.baselines[label]
        ratios = [
            _ratio(result.ratio(label, to[title]) if title in to else None) for title in titles
        ]
        seen = [_number(result.seen(label, title)) for title in extra]
        rows.append([label, _spread(result.value(label)), *ratios, *seen])
    return _markdown(rows)


def records(scenario: Scenario, result: Result) -> list[Record]:
    """The table as rows of a data file."""
    titles = list(dict.fromkeys([title for to in result.baselines.values() for title in to]))
    found = []
    for label in result.samples:
        record = {"row": label, **_columns(scenario.unit, result.value(label))}
        to = result.baselines[label]
        for title in titles:
            ratio = result.ratio(label, to[title]) if title in to else None
            record |= _columns(f"÷ {title}", ratio)
        for title in result.columns():
            value = result.seen(label, title)
            record[title] = "" if value is None else _plain(value)
        found.append(record)
    return found


def _columns(title: str, found: Spread | None) -> Record:
    """The median, and the least and the greatest of the rounds."""
    values = [found.median, found.least, found.greatest] if found else []
    told = [_plain(value) for value in values] or [""] * 3
    return dict(zip((title, f"{title}, least", f"{title}, greatest"), told, strict=True))


def targets(scenario: Scenario, result: Result) -> list[str]:
    """What was aimed at, what was measured, and whether that is enough; one line each."""
    lines: list[str] = []
    for target in scenario.targets():
        ratio = result.ratio(target.label, *target.to)
        if ratio is None:
            continue
        to = "" if not target.to else f" against {_cheapest(target.to)}"
        bound = f"{'≥' if target.at_least else '≤'} {target.bound:g}"
        verdict = "met" if result.is_met(target) else "**missed**"
        lines.append(f"{target.label}{to}: {_ratio(ratio)}; target {bound}: {verdict}")
    return lines


def _cheapest(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"the cheaper of {' and '.join(names)}"


def _spread(value: Spread) -> str:
    if value.least == value.greatest:
        return _number(value.median)
    return f"{_number(value.median)} ({_number(value.least)}–{_number(value.greatest)})"


def _ratio(value: Spread | None) -> str:
    if value is None:
        return ""
    if value.least == value.greatest:
        return f"{value.median:.2f}"
    return f"{value.median:.2f} ({value.least:.2f}–{value.greatest:.2f})"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _plain(value: float) -> str:
    """Four digits, and all before the point."""
    return f"{value:.0f}" if abs(value) >= 1000.0 else f"{value:.4g}"


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    lines = [
        "| "
        + " | ".join([cell.ljust(width) for cell, width in zip(row, widths, strict=True)])
        + " |"
        for row in rows
    ]
    rule = "|" + "|".join(["-" * (width + 2) for width in widths]) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])
