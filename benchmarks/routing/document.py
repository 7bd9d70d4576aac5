"""docs/routing-quality.md, made of what several calls measured."""

from itertools import product
from pathlib import Path
from typing import Final

import msgspec

from benchmarks import marked
from benchmarks.routing import standing, tables
from benchmarks.routing.fleets import SPEEDS
from benchmarks.routing.floor import NAME, Floor
from benchmarks.routing.live import OWN_SPEED, SECONDS, Row
from benchmarks.routing.simulated import OWN
from benchmarks.routing.workloads import OBJECTIVES, Kind

FILE: Final = Path("docs") / "routing-quality.md"
_KEPT: Final = Path(".benchmarks") / "routing.json"
_LIVE: Final = "routing live"
_OPENING: Final = "# How well requests to language models are routed\n"
_BELOW: Final = (
    f"“{NAME[0].upper()}{NAME[1:]}”: every prompt alone on an idle engine of the fastest kind, "
    "which has cached the longest prefix of it that any request before put into any engine, "
    "nothing ever evicted. Turns that wait for an answer come when such engines would have given "
    "it, so that which of them are counted differs a little from router to router."
)


class Kept(msgspec.Struct):
    """The last row of each router, workload, fleet and seed, and the last simulations."""

    rows: list[Row] = []
    floors: list[Floor] = []  # of rows that are not at the engines' own speed
    simulated: dict[str, list[str]] = {}  # lines of tables, by workload and fleet
    versions: dict[str, str] = {}
    missing: dict[str, str] = {}
    machine: str = ""
    seeds: int = 0
    agreement: list[str] = []  # the lines of its table
    standing: dict[str, list[str]] = {}  # cells of a row, by workload and fleet


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


def write(kept: Kept, kinds: list[Kind]) -> Path:
    """The live tables and the simulated ones; what people wrote around them stays, and so do
    tables of which nothing is known here."""
    if kept.rows:
        _write_live(kept, kinds)
    if kept.simulated:
        marked.replace(FILE, "routing simulated", "\n".join(_simulated(kept, kinds)), _OPENING)
    if kept.agreement:
        marked.replace(FILE, "routing agreement", "\n".join(_agreement(kept)), _OPENING)
    return FILE


def _write_live(kept: Kept, kinds: list[Kind]) -> None:
    rows = [row for row in kept.rows if row.speedup != OWN_SPEED]
    parts = [_LIVE]
    marked.replace(FILE, _LIVE, "\n".join(_live_heading(kept)), _OPENING)
    # Longer runs come after all that are as long as runs usually are.
    for seconds in sorted({SECONDS, *(row.seconds for row in rows)}):
        for fleet, kind in product(SPEEDS, kinds):
            title = f"{kind.name}, engines {fleet}"
            if seconds != SECONDS:
                title += f", {seconds * kind.lasts:g} s"
            part = f"{_LIVE}: {title}"
            measured = [row for row in rows if _traffic(row) == (kind.name, fleet, seconds)]
            if measured:
                lines = _live(measured, kept.floors, kind, title)
                marked.replace(FILE, part, "\n".join(lines), _OPENING, after=parts)
            parts.append(part)


def _live_heading(kept: Kept) -> list[str]:
    versions = {name.split()[0]: version for name, version in kept.versions.items()}
    lines = [
        "## Live processes",
        "",
        f"{kept.machine}. "
        f"{', '.join(f'{name} {version}' for name, version in versions.items())}. "
        f"Each run: {SECONDS:g} s of the engines' time where a table says nothing else, caches "
        "cold at first; requests of its first quarter are not counted. Of several seeds, ± is the "
        "half-width of the 95% interval over them.",
        "",
        _BELOW,
    ]
    if kept.missing:
        lines += ["", *(f"- {name} did not run: {why}" for name, why in kept.missing.items())]
    return lines


def _live(rows: list[Row], floors: list[Floor], kind: Kind, title: str) -> list[str]:
    runs = {_run(row) for row in rows}
    about = f"{kind.about[0].upper()}{kind.about[1:]}"
    return [
        f"### {title[0].upper()}{title[1:]}",
        "",
        f"{about}. {_size(rows, len(runs))}. Measured on {_dates(rows)}, "
        f"engines at {rows[0].speedup:g} times their speed.",
        "",
        *tables.live(rows, [each for each in floors if _run(each) in runs]),
    ]


def _dates(rows: list[Row]) -> str:
    return " and ".join(sorted({row.date for row in rows}))


def _size(rows: list[Row], seeds: int) -> str:
    requests = f"{round(sum(row.requests for row in rows) / len(rows)):,} requests"
    return requests if seeds == 1 else f"{seeds} seeds of {requests} on average"


def _simulated(kept: Kept, kinds: list[Kind]) -> list[str]:
    lines = [
        "## Simulated",
        "",
        f"{kept.seeds} seeds; ± is the half-width of the 95% interval over them. Goodput: answers "
        f"a second with the first token within {OBJECTIVES.ttft_s:g} s and further ones within "
        f"{OBJECTIVES.tpot_s * 1000:g} ms on average.",
        "",
        _BELOW,
    ]
    if kept.standing:
        lines += [
            "",
            f"### {OWN} beside the best of the others",
            "",
            "In each column, against the policy that has the best mean over the seeds there. "
            "Equal: no difference lies in the 95% interval of the ratio, seed by seed. That the "
            "best of twelve is chosen by the same seeds is in their favour.",
            "",
            *standing.rows(kept.standing),
        ]
    for fleet in SPEEDS:
        for kind in kinds:
            if found := kept.simulated.get(f"{kind.name}, {fleet}"):
                lines += ["", f"### {kind.name.capitalize()}, engines {fleet}, simulated", ""]
                lines += found
    return lines


def _agreement(kept: Kept) -> list[str]:
    return [
        "## Live beside simulated",
        "",
        "Mean time to first token, engines alike and at their own speed (`--speedup 1`), so that a "
        "millisecond of the client, the router and this machine counts as one. Live it is one run.",
        "",
        *kept.agreement,
    ]
