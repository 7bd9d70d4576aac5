"""The board's layout: cells follow each other, are literals, and a change of them is told."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from penstock.core import attempt_counts
from penstock.core.admission.refusals import REASONS
from penstock.dataplane.board import layout
from penstock.dataplane.board.layout import H_LAYOUTS, H_MAGIC, MOST_SECTIONS, SECTIONS
from penstock.dataplane.board.memory import Board, BoardMismatchError, create_board
from penstock.wire.http1 import IRREGULARITIES

SOURCE = Path("src/penstock/dataplane/board/layout.py")
# Section → prefix of its cells, and how many cells a set of them has.
SIZES = {
    "header": ("H_", layout.HEADER_CELLS),
    "workers": ("W_", layout.WORKER_CELLS),
    "endpoint states": ("S_", layout.STATE_CELLS),
    "engine reports": ("R_", layout.REPORT_CELLS),
    "endpoint load": ("L_", layout.LOAD_CELLS),
    "pools": ("P_", layout.POOL_CELLS),
    "models": ("M_", layout.MODEL_CELLS),
    "routed prefixes": ("RT_", layout.ROUTE_RING_CELLS),
    "answered prompts": ("SG_", layout.SIGHTING_RING_CELLS),
    "exact prefixes": ("FA_", layout.FACTS_CELLS),
    "client addresses": ("ADDRESS_", layout.ADDRESS_ROWS * layout.ADDRESS_SLOTS),
    "changed rows": ("C_", layout.CHANGED_CELLS),
    "other balancers": ("O_", layout.OTHERS_CELLS),
    "queues": ("Q_", layout.QUEUE_CELLS),
    "ledgers": ("LG_", layout.LEDGER_CELLS),
}
# Layout numbers, and a digest of the cells that stand for them. Whoever changes cells raises the
# section's layout number, and puts both here.
KNOWN = {
    "header": (12, "9202d3d1"),
    "workers": (7, "40d9874f"),
    "endpoint states": (1, "1bbcbbf0"),
    "engine reports": (3, "cf058d22"),
    "endpoint load": (2, "0dc8c3fe"),
    "pools": (3, "66db557e"),
    "models": (1, "02f60732"),
    "routed prefixes": (1, "29649f4a"),
    "answered prompts": (1, "f1b09cd3"),
    "exact prefixes": (1, "bd0ed1f3"),
    "client addresses": (1, "256ea190"),
    "changed rows": (1, "b7439977"),
    "other balancers": (2, "a267123c"),
    "queues": (4, "cc11ebbc"),
    "ledgers": (2, "57f0b48e"),
}


def cells_of(section: str) -> dict[str, int]:
    """The cells of a section, by name."""
    prefix = SIZES[section][0]
    parts = ("SH_",) if section == "pools" else ()
    return {
        name: value
        for name, value in vars(layout).items()
        if name.startswith((prefix, *parts)) and isinstance(value, int)
    }


def digest(section: str) -> str:
    """Of all that decides where something stands there."""
    said = repr((sorted(cells_of(section).items()), SIZES[section][1]))
    return sha256(said.encode()).hexdigest()[:8]


def assignments() -> Iterator[tuple[str, ast.expr]]:
    for statement in ast.parse(SOURCE.read_text()).body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            assert statement.value is not None
            yield statement.target.id, statement.value


@pytest.mark.parametrize(("section", "number"), SECTIONS)
def test_who_changes_the_cells_of_a_section_raises_its_layout_number(
    section: str, number: int
) -> None:
    assert (number, digest(section)) == KNOWN[section], (
        f"the cells of section {section!r} changed: raise its layout number in {SOURCE.name}, and "
        f"write that and {digest(section)!r} into KNOWN of this file"
    )


@pytest.mark.parametrize("section", [name for name, _ in SECTIONS])
def test_cells_of_a_section_follow_each_other_and_fit_into_it(section: str) -> None:
    prefix, size = SIZES[section]
    places = [value for name, value in cells_of(section).items() if name.startswith(prefix)]
    if section != "client addresses":  # which is all slots
        assert places == sorted(set(places))
        assert places[0] == 0
    assert places[-1] < size


def test_cells_that_are_indexed_by_other_lists_have_room_for_those() -> None:
    assert layout.L_CONNECT_FAILURES - layout.L_1XX_TO_5XX == 5
    assert len(IRREGULARITIES) == layout.L_PREFILLED - layout.L_IRREGULAR
    assert len(REASONS) == layout.P_WAITING - layout.P_REFUSED
    assert len(layout.PHASES) == layout.P_COPIES_GIVEN_UP - layout.P_QUEUE_SUM_US
    assert len(layout.DATAGRAM_DROPS) == layout.W_UNKNOWN_SERVER_IDS - layout.W_DATAGRAM_DROPS
    assert len(layout.SERVING_PHASES) == layout.P_SHADOWS - layout.P_SERVING
    assert layout.SH_COST_US < layout.SHADOW_CELLS
    assert layout.R_LOADED_HASHES + layout.MAX_LOADED <= layout.REPORT_CELLS
    assert len(SECTIONS) <= MOST_SECTIONS


def test_attempts_stand_on_the_board_as_the_core_counts_them() -> None:
    counted = {name: value for name, value in vars(attempt_counts).items() if name[:2] == "A_"}
    assert len(counted) > 10
    for name, value in counted.items():
        assert vars(layout)[f"L_{name[2:]}"] - layout.ATTEMPTS_AT == value, name
    assert layout.L_EXCUSED - layout.ATTEMPTS_AT == attempt_counts.ATTEMPT_CELLS - 1
    assert layout.PRESENT_LOAD_CELLS - layout.ATTEMPTS_AT == attempt_counts.A_1XX_TO_5XX


def test_cells_are_sums_of_integers_so_that_compiled_code_sees_literals() -> None:
    """mypy folds sums of integers and of names above them in the same file, but no calls."""
    folded: set[str] = set()
    for name, value in assignments():
        parts = [part for part in ast.walk(value) if not isinstance(part, ast.operator | ast.Load)]
        if all(
            isinstance(part, ast.BinOp)
            or (isinstance(part, ast.Constant) and isinstance(part.value, int))
            or (isinstance(part, ast.Name) and part.id in folded)
            for part in parts
        ):
            folded.add(name)
    cells = {name for section in SIZES for name in cells_of(section)}
    # Behind histograms, whose size is another module's; looked up once for each pool.
    assert cells - folded == {"P_SERVING_HISTOGRAMS"}


def test_a_board_of_this_version_is_taken() -> None:
    board = create_board(workers=2, endpoint_rows=4, pool_rows=2)
    assert Board(os.dup(board.fd)).workers == 2


def test_a_board_with_another_layout_of_a_section_is_refused_by_name_and_numbers() -> None:
    board = create_board(workers=1, endpoint_rows=4, pool_rows=2)
    index = [name for name, _ in SECTIONS].index("endpoint load")
    here = board.cells[H_LAYOUTS + index]
    board.cells[H_LAYOUTS + index] = here + 1
    with pytest.raises(BoardMismatchError) as refused:
        Board(os.dup(board.fd))
    assert f"'endpoint load' has layout {here + 1} on the board, {here} here" in str(refused.value)
    assert "restart the balancer" in str(refused.value)
    assert "pools" not in str(refused.value)


def test_a_board_with_sections_of_a_later_version_is_refused() -> None:
    board = create_board(workers=1, endpoint_rows=4, pool_rows=2)
    board.cells[H_LAYOUTS + MOST_SECTIONS - 1] = 1
    with pytest.raises(BoardMismatchError, match="sections that are not known here"):
        Board(os.dup(board.fd))


@pytest.mark.parametrize("size", [0, 8, 1 << 16])
def test_what_is_no_board_is_refused(size: int) -> None:
    fd = os.memfd_create("no board")
    os.ftruncate(fd, size)
    with pytest.raises(BoardMismatchError, match="holds no Penstock board"):
        Board(fd)


def test_a_worker_of_another_version_says_why_it_does_not_start() -> None:
    board = create_board(workers=1, endpoint_rows=4, pool_rows=2)
    board.cells[H_LAYOUTS] += 1
    options = ["--index", "0", "--board", str(board.fd), "--mailbox", "0"]
    ended = subprocess.run(
        [sys.executable, "-m", "penstock.dataplane.worker", *options],
        pass_fds=[board.fd],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert "'header' has layout" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_magic_number_stands_first_in_every_version() -> None:
    assert (H_MAGIC, H_LAYOUTS) == (0, 1)
