"""The table of a comparison."""

from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

from penstock.sim.expectation import expectation
from penstock.sim.experiment import Comparison
from penstock.sim.report.columns import Column, policy_columns, row_names

_FRAME = 3  # characters that a column takes besides its text


def comparison_table(comparison: Comparison, *, with_theory: bool = False) -> RenderableType:
    """A row for each metric, a column for each policy; the best of a row stands out.

    Where the console is too narrow for all policies, tables follow one another.
    """
    return _ComparisonTable(comparison, with_theory)


class _ComparisonTable:
    def __init__(self, comparison: Comparison, with_theory: bool) -> None:
        self._comparison = comparison
        self._with_theory = with_theory
        self._policies = list(policy_columns(comparison, with_theory=with_theory))

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        title: str | None = self._comparison.scenario.name or None
        for columns in self._parts(options.max_width):
            yield self._table(columns, title)
            title = None
        if self._with_theory:
            yield from map(Text, theory_notes(self._comparison))

    def _parts(self, width: int) -> Iterator[list[Column]]:
        """As many policies as fit beside one another, each with its theory; at least one."""
        names = max(len(metric) for metric in row_names(self._comparison)) + _FRAME + 1
        part: list[Column] = []
        taken = names
        for columns in self._policies:
            needed = sum(_width(column) + _FRAME for column in columns)
            if part and taken + needed > width:
                yield part
                part, taken = [], names
            part = part + columns
            taken += needed
        yield part

    def _table(self, columns: list[Column], title: str | None) -> Table:
        table = Table(title=title, title_justify="left")
        table.add_column("", no_wrap=True)
        for column in columns:
            style = "cyan" if column.theory else ""
            table.add_column(column.head, justify="right", style=style, overflow="fold")
        for row, metric in enumerate(row_names(self._comparison)):
            cells = [
                Text(column.cells[row], "bold green" if metric in column.best else "")
                for column in columns
            ]
            table.add_row(metric, *cells)
        return table


def theory_notes(comparison: Comparison) -> Iterator[str]:
    """What model each policy's closed form is of."""
    for result in comparison.results:
        expected = expectation(comparison.scenario, result.policy)
        if expected is None:
            yield f"{result.label}: no closed form is known for this scenario."
            continue
        mark = "" if expected.exact or not expected.metrics else " (not exact)"
        yield f"{result.label}: {expected.model}{mark}."


def _width(column: Column) -> int:
    """Of its cells, and of the longest word of its head, which may stand in several lines."""
    return max(len(text) for text in (*column.head.split(), *column.cells))
