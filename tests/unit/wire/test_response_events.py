"""A client's events about a response that its engine knows by another name."""

import json

import pytest

from penstock.wire.response_events import about_another


@pytest.mark.parametrize("field", ["previous_response_id", "response_id"])
def test_the_name_is_changed_and_nothing_else(field: str) -> None:
    event = {"type": "response.create", field: "r1", "input": 'the text "r1"', "n": 1.50}
    changed = json.loads(about_another(json.dumps(event).encode(), "r1", 'r"2'))
    assert changed == {**event, field: 'r"2'}


@pytest.mark.parametrize(
    "message",
    [
        b'{"type":"response.create","input":"r1"}',
        b'{"previous_response_id": "r11"}',
        b'{"previous_response_id": ["r1"]}',
        b'["r1"]',
        b'"r1" \xff{',
        b"",
    ],
)
def test_anything_else_is_left_as_it_came(message: bytes) -> None:
    assert about_another(message, "r1", "r2") == message
