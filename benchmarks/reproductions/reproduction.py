"""What a reproduction is, and how its section of the document is written."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Final

from penstock.sim.experiment import Comparison, Result, compare
from penstock.sim.scenario_file import scenario_of

FILE: Final = Path("docs") / "reproductions.md"


@dataclass(frozen=True)
class Effort:
    """How much to spend: ``scale`` multiplies the length of runs; ``trace`` is a file or None."""

    scale: float = 1.0
    processes: int = 1
    trace: Path | None = None


@dataclass(frozen=True)
class Reproduction:
    """An experiment: ``run`` gives the lines of its tables and of what they show."""

    name: str
    title: str
    run: Callable[[Effort], list[str]]
    needs_trace: bool = False

    def section(self, lines: Sequence[str]) -> str:
        """What stands between its marks in the document."""
        return "\n".join([self._begin, *lines, self._end])

    def write(self, lines: Sequence[str], file: Path = FILE) -> None:
        """Replace its section, which must be there. Raises ValueError when it is not."""
        text = file.read_text("utf-8")
        if self._begin not in text or self._end not in text:
            raise ValueError(f"{file} has no place for {self.name}: {self._begin} … {self._end}")
        before, _, rest = text.partition(self._begin)
        _, _, after = rest.partition(self._end)
        file.write_text(before + self.section(lines) + after, "utf-8")

    @property
    def _begin(self) -> str:
        return f"<!-- Begin: {self.name} -->"

    @property
    def _end(self) -> str:
        return f"<!-- End: {self.name} -->"


def simulated(values: dict[str, object], effort: Effort) -> Comparison:
    """The comparison of a scenario written as plain values."""
    return compare(scenario_of(values), processes=effort.processes)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table; all columns but the first are numbers."""
    return [
        f"| {' | '.join(heads)} |",
        f"|---|{'--:|' * (len(heads) - 1)}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


def milliseconds(result: Result, metric: str, timeout_s: float) -> str:
    """A duration in ms, or that it is the timeout."""
    value = result.interval(metric).mean
    if isnan(value):
        return "–"
    return "timeout" if value >= 0.995 * timeout_s else f"{value * 1000:.0f}"
