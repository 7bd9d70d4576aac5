"""docs/routing-quality.md and its data files, made of what several calls measured."""

from pathlib import Path
from typing import Final

import msgspec

from benchmarks import data, marked
from benchmarks.data import Record
from benchmarks.reproductions.reproduction import table
from benchmarks.routing import standing, tables
from benchmarks.routing.fleets import SPEEDS
from benchmarks.routing.floor import NAME, Floor
from benchmarks.routing.live import OWN_SPEED, SECONDS, Row
from benchmarks.routing.simulated import OWN
from benchmarks.routing.workloads import OBJECTIVES, abouts

FILE: Final = Path("docs") / "routing-quality.md"
LIVE: Final = "routing-live"
SIMULATED: Final = "routing-simulated"
STANDING: Final = "routing-beside-the-best"
OWN_ROUTER: Final = "Penstock marginal-cost"
_OURS: Final = "Penstock "
_KEPT: Final = Path(".benchmarks") / "routing.json"
_OPENING: Final = "# How well requests to language models are routed\n"


class Kept(msgspec.Struct):
    """The last row of each router, workload, fleet and seed, and the last simulations."""

    rows: list[Row] = []
    floors: list[Floor] = []  # of rows that are not at the engines' own speed
    simulated: dict[str, list[Record]] = {}  # rows of the data file, by workload and fleet
    versions: dict[str, str] = {}
    missing: dict[str, str] = {}
    machine: str = ""
    seeds: int = 0
    agreement: list[str] = []  # the lines of its table
    standing: dict[str, list[Record]] = {}  # the same


def load() -> Kept:
    """What the file holds; nothing when there is none."""
    if not _KEPT.exists():
        return Kept()
    return msgspec.json.decode(_KEPT.read_bytes(), type=Kept)


def save(kept: Kept) -> None:
    _KEPT.parent.mkdir(exist_ok=True)
    _KEPT.write_bytes(msgspec.json.encode(kept))


def keep(kept: Kept, row: Row) -> None:
    """Beside the others, in the place of the same measurement's last row."""
    kept.missing.pop(row.router, None)
    for index, known in enumerate(kept.rows):
        if _measured(known) == _measured(row):
            kept.rows[index] = row
            return
    kept.rows.append(row)


def keep_floor(kept: Kept, floor: Floor) -> None:
    """Beside the others, in the place of the same run's last one."""
    others = [each for each in kept.floors if _run(each) != _run(floor)]
    kept.floors = [*others, floor]


def _measured(row: Row) -> tuple[str, str, str, float, int, bool]:
    return row.router, *_run(row), row.speedup == OWN_SPEED


def _run(measured: Row | Floor) -> tuple[str, str, float, int]:
    return *_traffic(measured), measured.seed


def _traffic(measured: Row | Floor) -> tuple[str, str, float]:
    return measured.kind, measured.fleet, measured.seconds


def write(kept: Kept) -> Path:
    """The data files, and the parts of the page that are made of them. What people wrote stays, and
    so do results of which nothing is known here."""
    marked.replace(FILE, "routing workloads", "\n".join(_workloads()), _OPENING)
    if kept.rows:
        _write_live(kept)
    if kept.simulated:
        simulated = [record for found in kept.simulated.values() for record in found]
        standings = [record for found in kept.standing.values() for record in found]
        data.replace(SIMULATED, simulated, ("workload", "engines"), _rank)
        data.replace(STANDING, standings, ("workload", "engines"), _rank)
        marked.replace(FILE, "routing simulated", "\n".join(_simulated(kept)), _OPENING)
    if kept.agreement:
        marked.replace(FILE, "routing agreement", "\n".join(_agreement(kept)), _OPENING)
    return FILE


def _workloads() -> list[str]:
    return [f"- **{name}**: {about}." for name, about in abouts().items()]


def _write_live(kept: Kept) -> None:
    by_table: dict[tuple[str, str, float], list[Row]] = {}
    for row in kept.rows:
        if row.speedup != OWN_SPEED:
            by_table.setdefault(_traffic(row), []).append(row)
    records: list[Record] = []
    for rows in by_table.values():
        runs = {_run(row) for row in rows}
        records += tables.live(rows, [each for each in kept.floors if _run(each) in runs])
    data.replace(LIVE, records, tables.TABLE, _rank)
    marked.replace(FILE, "routing live", "\n".join(_live(kept)), _OPENING)


def _rank(record: Record) -> tuple[float, ...]:
    """Longer runs come after all that are as long as runs usually are."""
    fleets, names = list(SPEEDS), list(abouts())
    seconds = float(record.get("seconds", SECONDS))
    return seconds, fleets.index(record["engines"]), names.index(record["workload"])


def _live(kept: Kept) -> list[str]:
    versions = {name.split()[0]: version for name, version in kept.versions.items()}
    lines = [
        f"{kept.machine}. "
        f"{', '.join(f'{name} {version}' for name, version in versions.items())}. "
        f"Each run: {SECONDS:g} s of the engines' time where nothing else is said, caches cold at "
        "first; requests of its first quarter are not counted.",
        "",
        "Mean time to first token of Penstock's `marginal-cost`, and how it compares with the best "
        "other router's:",
        "",
        *_by_fleet({_place(found): _against_the_best(found) for found in _live_tables()}),
    ]
    if kept.missing:
        lines += ["", *(f"- {name} did not run: {why}" for name, why in kept.missing.items())]
    return lines


def _live_tables() -> list[list[Record]]:
    """What the data file holds, by table."""
    found: dict[tuple[str, ...], list[Record]] = {}
    for record in data.read(LIVE):
        found.setdefault(tuple(record[column] for column in tables.TABLE), []).append(record)
    return list(found.values())


def _against_the_best(records: list[Record]) -> str:
    means = {record[tables.ROUTER]: float(record[tables.TTFT]) for record in records}
    others = {
        name: mean for name, mean in means.items() if name != NAME and not name.startswith(_OURS)
    }
    if OWN_ROUTER not in means:
        return "–"
    own_ms = means[OWN_ROUTER]
    if not others:
        return f"{own_ms:,.0f} ms"
    best = min(others, key=lambda name: others[name])
    return f"{own_ms:,.0f} ms, {own_ms / others[best] - 1.0:+.0%} ({best})"


def _place(records: list[Record]) -> tuple[str, str]:
    """The row and the column of the page's table."""
    seconds = float(records[0].get("seconds", SECONDS))
    long = "" if seconds == SECONDS else f", {seconds:g} s"
    return f"{records[0]['workload']}{long}", records[0]["engines"]


def _by_fleet(cells: dict[tuple[str, str], str]) -> list[str]:
    """A Markdown table: workloads down, fleets across."""
    names = list(dict.fromkeys([name for name, _ in cells]))
    rows = [[name, *(cells.get((name, fleet), "") for fleet in SPEEDS)] for name in names]
    return table(["workload", *(f"engines {fleet}" for fleet in SPEEDS)], rows)


def _simulated(kept: Kept) -> list[str]:
    firsts = [each for each in data.read(STANDING) if each[standing.METRIC] == standing.TTFT]
    return [
        f"{kept.seeds} seeds; ± is the half-width of the 95% interval over them. Goodput: answers "
        f"a second with the first token within {OBJECTIVES.ttft_s:g} s and further ones within "
        f"{OBJECTIVES.tpot_s * 1000:g} ms on average.",
        "",
        f"Mean time to first token of `{OWN}`, compared with that of the best other policy there. "
        "Equal: the 95% interval of the ratio, seed by seed, includes 1. Choosing the best of "
        "twelve by the same seeds favours the others.",
        "",
        *_by_fleet({_place([each]): standing.told(each) for each in firsts}),
    ]


def _agreement(kept: Kept) -> list[str]:
    return [
        "## Live beside simulated",
        "",
        "Mean time to first token, engines alike and at their own speed (`--speedup 1`), so that a "
        "millisecond of the client, the router and this machine counts as one. Live it is one run.",
        "",
        *kept.agreement,
    ]
