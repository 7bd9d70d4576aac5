"""Data files of the documents: what is measured anew takes the place of what it measured before."""

import re
from pathlib import Path

import pytest

from benchmarks import data

DOCS = Path(__file__).parents[3] / "docs"


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "DIRECTORY", tmp_path / "data")


def test_what_is_written_reads_back() -> None:
    records = [{"name": "with, comma", **data.spread("TTFT ms", "1234", "5")}]
    data.write("results", records)
    assert data.read("results") == records
    assert list(records[0]) == ["name", "TTFT ms", "TTFT ms ±"]


def test_of_a_file_that_is_not_there_nothing_is_known() -> None:
    assert data.read("results") == []


def test_new_rows_replace_those_with_the_same_key_and_leave_the_others() -> None:
    data.write("results", [{"at": at, "row": row} for at in "13" for row in "ab"])
    data.replace("results", [{"at": at, "row": "c"} for at in "21"], ("at",), rank)
    assert [each["at"] + each["row"] for each in data.read("results")] == ["1c", "2c", "3a", "3b"]


def rank(record: data.Record) -> tuple[float, ...]:
    return (float(record["at"]),)


def test_rows_of_one_file_have_the_same_columns() -> None:
    with pytest.raises(ValueError, match="other"):
        data.write("results", [{"one": "1"}, {"other": "2"}])


def links(page: Path) -> set[Path]:
    """The files that a page links to."""
    found = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
    return {(page.parent / target).resolve() for target in found}


def test_every_link_of_a_document_leads_to_a_file() -> None:
    missing = {
        f"{page.name}: {target}"
        for page in DOCS.glob("*.md")
        for target in links(page)
        if not target.exists()
    }
    assert not missing


def test_every_data_file_is_linked_from_a_document() -> None:
    linked = set().union(*(links(page) for page in DOCS.glob("*.md")))
    files = {file for file in DOCS.joinpath("data").rglob("*") if file.is_file()}
    assert files <= linked
