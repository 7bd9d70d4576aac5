"""An answer's model gets the name that the client asked for, and nothing else changes."""

import json

from hypothesis import given
from hypothesis import strategies as st

from penstock.wire.answer_model import ModelRenamer

QUOTED = json.dumps('"model": "modèle/7b" and "model":"other"')
EVENT = 'data: {"id": "1", "model" : %s, "choices": [{"delta": {"content": ' + QUOTED + "}}]}\n\n"


def renamed(data: bytes, cuts: list[int], *, streamed: bool) -> bytes:
    renamer = ModelRenamer("modèle/7b", 'the\\"best"', streamed=streamed)
    passed = b""
    at = 0
    for cut in cuts:
        passed += renamer.feed(data[at : at + cut], False)
        at += cut
    return passed + renamer.feed(data[at:], True)


@given(st.lists(st.integers(1, 40), max_size=40), st.booleans(), st.booleans())
def test_the_key_alone_is_renamed_however_the_answer_is_cut(
    cuts: list[int], streamed: bool, ascii_: bool
) -> None:
    served = json.dumps("modèle/7b", ensure_ascii=ascii_)
    other = EVENT % '"other"'
    expected = EVENT % json.dumps('the\\"best"')
    data = (EVENT % served + other + EVENT % served).encode()
    assert renamed(data, cuts, streamed=streamed) == (expected + other + expected).encode()


def test_a_whole_line_is_not_held() -> None:
    renamer = ModelRenamer("a", "b", streamed=True)
    assert renamer.feed(b'data: {"model":"a"}\n\ndata:', False) == b'data: {"model":"b"}\n\n'


def test_what_has_no_end_is_held_within_a_bound() -> None:
    for streamed in (True, False):
        renamer = ModelRenamer("a", "b", streamed=streamed)
        assert renamer.feed(b"x" * 70_000, False) == b"x" * 70_000
