"""Which requests are about something that one engine keeps, and which answers tell its id."""

import pytest

from penstock.wire.kept_things import makes_things, names_in, thing_in, thing_named
from penstock.wire.session_keys import session_hash


@pytest.mark.parametrize(
    ("target", "name"),
    [
        (b"/v1/files/file-1", b"file-1"),
        (b"/v1/files/file-1/content?x=1", b"file-1"),
        (b"/openai/v1/batches/batch_1/cancel", b"batch_1"),
        (b"/v1/conversations/conv_1/items", b"conv_1"),
        (b"/v1/messages/batches/msgbatch_1/results", b"msgbatch_1"),
        (b"/v1/fine_tuning/jobs/ftjob-1/events", b"ftjob-1"),
        (b"/v1/stream?conv_id=c1&from=20", b"c1"),
        (b"/v1/files", b""),
        (b"/v1/files/", b""),
        (b"/v1/chat/completions", b""),
        (b"/v1/models/files", b""),
        (b"/files/file-1", b""),
    ],
)
def test_what_a_path_is_about(target: bytes, name: bytes) -> None:
    assert thing_in(target) == (session_hash(name) if name else 0)


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        (b"POST", b"/v1/files", True),
        (b"POST", b"/v1/batches?a=b", True),
        (b"GET", b"/v1/batches/batch_1", True),  # its answer names the file that it wrote
        (b"POST", b"/v1/messages/batches", True),
        (b"DELETE", b"/v1/files/file-1", False),
        (b"POST", b"/v1/chat/completions", False),
        (b"POST", b"/v1/messages", False),
        (b"GET", b"/v1/models", False),
    ],
)
def test_whose_answers_name_things(method: bytes, target: bytes, expected: bool) -> None:
    assert makes_things(method, target) is expected


def test_the_names_in_an_answer() -> None:
    assert names_in(b'{"id": "batch_1", "output_file_id": "file-2", "error_file_id": null}') == [
        "batch_1",
        "file-2",
    ]
    assert names_in(b'{"object": "list", "data": [{"id": "a"}, {"id": 7}, {}]}') == ["a"]
    assert names_in(b"[]") == names_in(b"\xff") == []


def test_what_a_request_works_on() -> None:
    assert thing_named(b'{"input_file_id": "file-1", "endpoint": "/v1/x"}') == session_hash(
        b"file-1"
    )
    assert thing_named(b'{"training_file": "file-2"}') == session_hash(b"file-2")
    assert thing_named(b'{"input_file_id": 7}') == thing_named(b"{}") == thing_named(b"") == 0
