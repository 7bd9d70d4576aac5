"""What fuzzing began from, and what it found, on the form that is tested."""

from pathlib import Path

import pytest

from fuzz.__main__ import CORPUS, targets

TARGETS = targets()
FILES = sorted(path for path in CORPUS.rglob("*") if path.is_file())


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_file_of_the_corpus_breaks_no_law(path: Path) -> None:
    TARGETS[path.parent.name](path.read_bytes())


def test_each_target_has_a_corpus_and_each_corpus_its_target() -> None:
    assert {path.parent.name for path in FILES} == set(TARGETS)
