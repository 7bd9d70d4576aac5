"""Error pages are read from files with the configuration, or refused where they are named."""

from pathlib import Path

import pytest

from penstock.config.compile.error_pages import MAX_BYTES
from penstock.core.snapshot import ErrorPage
from tests.unit.config.documents import MINIMAL, errors_of, load


def told(tmp_path: Path, pages: str) -> str:
    return "\n".join(errors_of(f"{MINIMAL}error_pages: {pages}\n", tmp_path))


def test_files_are_read_by_their_suffix_and_kinds_of_statuses_spelled_out(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("<p>\N{SNOWMAN}</p>", "utf-8")
    pages = "[{statuses: 404, files: a.html}, {statuses: [5xx, 500], text: away}]"
    made = load(f"{MINIMAL}error_pages: {pages}\n", tmp_path).snapshot.error_pages
    assert made[0] == ErrorPage((404,), html="<p>\N{SNOWMAN}</p>")
    assert made[1] == ErrorPage(tuple(range(500, 600)), text="away")


@pytest.mark.parametrize(
    ("pages", "problem"),
    [
        ("{statuses: 404, files: none.html}", "none.html cannot be read: No such file"),
        ("{statuses: 404, files: big.html}", f"has over {MAX_BYTES} bytes"),
        ("{statuses: 404, files: raw.txt}", "is not text in UTF-8"),
        ("{statuses: 404, files: bad.json}", "is not JSON"),
        ("{statuses: 404, files: empty.html}", "is empty"),
        ("{statuses: 404, files: a.png}", "the suffix says what it is"),
        ("{statuses: 404, files: [bad.json, a.txt], text: b}", "has another text form already"),
        ("{statuses: 200, text: a}", "a status from 400 to 599"),
        ("{statuses: 6xx, text: a}", "a status from 400 to 599"),
        ("{text: a}", "`statuses` says which errors"),
        ("{statuses: 404}", "give `files`, `text` or both"),
    ],
)
def test_what_cannot_be_a_page_is_refused(tmp_path: Path, pages: str, problem: str) -> None:
    (tmp_path / "big.html").write_bytes(b"x" * (MAX_BYTES + 1))
    (tmp_path / "raw.txt").write_bytes(b"\xff\xfe")
    (tmp_path / "bad.json").write_text("{away}")
    (tmp_path / "empty.html").write_text("")
    (tmp_path / "a.txt").write_text("a")
    error = told(tmp_path, pages)
    assert problem in error
    assert error.startswith("3:") or "\n3:" in error


def test_pages_are_of_http(tmp_path: Path) -> None:
    text = "pools: {db: {endpoints: tcp://a:1, error_pages: {statuses: 503, text: a}}}"
    assert any("error_pages: has no effect" in line for line in errors_of(text, tmp_path))
    text = "routes: [{respond: 404, error_pages: {statuses: 503, text: a}}]\nendpoints: a:1"
    assert any("`error_pages` needs a `pool`" in line for line in errors_of(text, tmp_path))
