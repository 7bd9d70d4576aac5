"""The results that documents link to: one CSV file for each kind, in docs/data.

Forges show CSV as a table, and ``csv.DictReader`` reads it back. The first line names the columns;
a column called ``… ±`` holds the half-width of the 95% interval of the column before it. Numbers
have no thousands separator, and what was not measured is empty.
"""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

DIRECTORY: Final = Path("docs") / "data"
SPREAD: Final = " ±"

# A row, by the titles of its columns. All rows of a file have the same columns in the same order.
Record = dict[str, str]


def path(name: str) -> Path:
    return DIRECTORY / f"{name}.csv"


def read(name: str) -> list[Record]:
    """Nothing where there is no such file yet."""
    file = path(name)
    if not file.exists():
        return []
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def write(name: str, records: Sequence[Record]) -> Path:
    """The whole file anew. Raises ValueError for a row with other columns than the first."""
    file = path(name)
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.DictWriter(lines, list(records[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
    return file


def replace(
    name: str,
    records: Sequence[Record],
    key: Sequence[str],
    rank: Callable[[Record], tuple[float, ...]],
) -> Path:
    """Instead of the rows that have the same values in the columns ``key``; others stay.

    Rows are ordered by ``rank``, and where it is the same as they were given.
    """
    measured = {tuple(record[column] for column in key) for record in records}
    others = [
        record for record in read(name) if tuple(record[column] for column in key) not in measured
    ]
    return write(name, sorted([*others, *records], key=rank))


def spread(title: str, mean: str, half_width: str) -> Record:
    """The two columns of a mean and its interval."""
    return {title: mean, f"{title}{SPREAD}": half_width}
