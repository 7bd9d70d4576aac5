"""Reproductions are written to their places, and each place names its command."""

from pathlib import Path

import pytest

from benchmarks.reproductions.__main__ import ALL
from benchmarks.reproductions.learning import SWITCH
from benchmarks.reproductions.power_of_two import POWER_OF_TWO
from benchmarks.reproductions.reproduction import FILE, Effort, Reproduction

DOCUMENT = (Path(__file__).parents[3] / FILE).read_text("utf-8")


@pytest.mark.parametrize("reproduction", ALL, ids=lambda each: each.name)
def test_the_document_has_a_place_and_a_command_for_each(reproduction: Reproduction) -> None:
    before, begin, rest = DOCUMENT.partition(f"<!-- Begin: {reproduction.name} -->\n")
    table, end, _ = rest.partition(f"<!-- End: {reproduction.name} -->")
    assert begin
    assert end
    assert table.startswith("| ")
    command = before.rpartition("python -m benchmarks.reproductions ")[2].partition("`")[0]
    assert reproduction.name in command.split()
    assert ("--trace" in command) == reproduction.needs_trace


def test_a_section_is_replaced_and_the_rest_stays(tmp_path: Path) -> None:
    file = tmp_path / "document.md"
    file.write_text("before\n<!-- Begin: x -->\nold\n<!-- End: x -->\nafter\n")
    made = Reproduction("x", "X", lambda effort: ["| new |"])
    made.write(made.run(Effort()), file)
    text = file.read_text()
    assert text == "before\n<!-- Begin: x -->\n| new |\n<!-- End: x -->\nafter\n"


def test_a_document_without_a_place_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "document.md"
    file.write_text("nothing here\n")
    with pytest.raises(ValueError, match="no place for power-of-two"):
        POWER_OF_TWO.write(["| new |"], file)


def test_a_policy_that_learns_is_measured_in_every_phase() -> None:
    lines = SWITCH.run(Effort(scale=0.01))
    rows = [line.split(" | ") for line in lines if line.startswith(("| least", "| adaptive"))]
    assert len(rows) >= 3
    for row in rows:
        assert all(cell.endswith(" ms") for cell in row[1:5])
    assert any("of slots" in row[-1] for row in rows)
