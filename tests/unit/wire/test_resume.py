"""What was answered is read of a stream's events, and the rest is asked for and made the same."""

import json
from random import Random
from typing import Any

import pytest

from penstock.wire.openai import ANTHROPIC, CHAT, COMPLETION, EMBEDDING, RESPONSE
from penstock.wire.resume.answer_text import AnswerText
from penstock.wire.resume.events import EventSplitter, split_events
from penstock.wire.resume.request import Resumption
from penstock.wire.resume.token_ids import (
    FIELDS,
    NO_WAY,
    PROBABILITIES,
    TokenIds,
    wish_for_ids,
)

TEXTS = ["one", ' "two"', "\n", " \\ ", "déjà", " 😀", '"', "\\", "x"]


def chunk_of(text: str, **more: Any) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return b"data: " + json.dumps({"id": "a", "choices": [choice], **more}).encode() + b"\n\n"


def test_text_is_kept_as_it_was_told_whatever_stands_in_it() -> None:
    rng = Random(1)
    said = [rng.choice(TEXTS) for _ in range(600)]
    kept = AnswerText(CHAT)
    for text in said:
        kept.take(chunk_of(text))
    assert kept.text() == "".join(said)
    assert (kept.tokens, kept.problem) == (600, "")


def test_several_events_at_once_are_several() -> None:
    kept = AnswerText(CHAT)
    kept.take(chunk_of("a"))
    kept.take(chunk_of("b") + chunk_of("c") + b": comment\n\n" + chunk_of("d"))
    assert (kept.text(), kept.tokens) == ("abcd", 4)


@pytest.mark.parametrize("apart", [b"\n\n", b"\r\n\r\n", b"\n"])
def test_events_are_whole_wherever_the_stream_is_cut(apart: bytes) -> None:
    """A single newline parts them only once the next begins."""
    events = [b'data: {"n": %d}' % number + apart for number in range(20)] + [b"data: [DONE]\n\n"]
    data = b"".join(events)
    rng = Random(2)
    for _ in range(50):
        splitter = EventSplitter()
        found = b""
        at = 0
        while at < len(data):
            size = rng.randrange(1, 40)
            whole = splitter.feed(data[at : at + size])
            assert found + whole in [b"".join(events[:n]) for n in range(len(events) + 1)]
            found += whole
            at += size
        assert found + splitter.rest() == data
    assert split_events(data) == events


def test_what_is_too_long_for_an_event_passes() -> None:
    splitter = EventSplitter()
    data = b"data: " + b"x" * (2 << 20)
    assert splitter.feed(data) == data
    assert splitter.overlong
    assert splitter.feed(b"more") == b"more"


@pytest.mark.parametrize(
    ("limits", "left"),
    [
        ({"max_tokens": 10}, {"max_tokens": 7}),
        (
            {"max_completion_tokens": 10, "min_tokens": 5},
            {"max_completion_tokens": 7, "min_tokens": 2},
        ),
        ({"min_tokens": 1}, {"min_tokens": 0}),
        ({"max_tokens": None}, {"max_tokens": None}),
    ],
)
def test_limits_are_less_by_what_came(limits: dict[str, Any], left: dict[str, Any]) -> None:
    asked = {"prompt": "p", **limits}
    made = Resumption(COMPLETION, json.dumps(asked).encode()).body_for(" so far", 3)
    assert json.loads(made) == {"prompt": "p so far", **left}


def test_an_open_message_of_the_clients_own_stays_one() -> None:
    messages = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "It "}]
    asked = {"messages": messages, "continue_final_message": True}
    for api in (CHAT, ANTHROPIC):
        made = Resumption(api, json.dumps(asked).encode()).body_for("is", 1)
        assert json.loads(made)["messages"][1:] == [{"role": "assistant", "content": "It is"}]


@pytest.mark.parametrize(
    ("api", "asked"),
    [
        (EMBEDDING, {"input": "x"}),
        (COMPLETION, {"prompt": ["a", "b"]}),
        (COMPLETION, {"prompt": [1, 2]}),
        (COMPLETION, {"prompt": "x", "echo": True}),
        (COMPLETION, {"prompt": "x", "suffix": "y"}),
        (COMPLETION, {"prompt": "x", "logprobs": 1}),
        (CHAT, {"messages": []}),
        (CHAT, {"messages": [{"role": "user", "content": "x"}], "grammar": "g"}),
        (ANTHROPIC, {"messages": [{"role": "user"}], "tool_choice": {"type": "any"}}),
        (ANTHROPIC, {"messages": [{"role": "user"}], "thinking": {"type": "enabled"}}),
    ],
)
def test_what_text_does_not_continue_is_told(api: int, asked: dict[str, Any]) -> None:
    assert Resumption(api, json.dumps(asked).encode()).problem


def test_ids_are_kept_and_taken_out() -> None:
    ids = TokenIds(CHAT)
    told = b'data: {"choices":[{"delta":{"content":"\\"token_ids\\":[1]"},"token_ids":[7, 8]}]'
    plain = b'data: {"choices":[{"delta":{"content":"\\"token_ids\\":[1]"}}]'
    assert ids.take_out(told + b',"prompt_token_ids":[1,2,3]}\n\n', True) == plain + b"}\n\n"
    assert ids.take_out(told + b',"prompt_token_ids":null}\n\n', True) == plain + b"}\n\n"
    assert (ids.prompt, ids.answer, ids.events) == ([1, 2, 3], [7, 8, 7, 8], 2)
    assert ids.take_out(b'data: {"token_ids":[9],"x":1}\n\n', False) == b'data: {"x":1}\n\n'
    assert ids.answer == [7, 8, 7, 8]


def probable(tokens: list[tuple[int, bytes]], **more: Any) -> bytes:
    """An event as llama.cpp tells it that was asked for probabilities."""
    content = [{"id": number, "token": "x", "bytes": list(each)} for number, each in tokens]
    choice = {"index": 0, **more, "logprobs": {"content": content}}
    return b"data: " + json.dumps({"choices": [choice], "id": "a"}).encode() + b"\n\n"


def test_ids_among_probabilities_are_kept_and_taken_out() -> None:
    ids = TokenIds(CHAT)
    ids.way = PROBABILITIES
    plain = b'data: {"choices": [{"index": 0, "delta": {"content": "}\\"{"}}], "id": "a"}\n\n'
    told = probable([(7, b"}"), (8, b'"{')], delta={"content": '}"{'})
    assert ids.take_out(told, True) == plain
    assert (ids.answer, ids.events, ids.prompt) == ([7, 8], 1, [])
    # Its first half came with the token before, of which nothing was told.
    ids.take_out(probable([(9, b"\xa9")], delta={"content": "é"}), True)
    assert (ids.answer, ids.events) == ([7, 8], 1)
    ids.api = COMPLETION
    assert b'"logprobs": null' in ids.take_out(probable([(1, b"x")], text="x"), True)
    assert ids.answer == [7, 8, 1]


@pytest.mark.parametrize("told", [b"{", b'{"logprobs":{"content":[{}]}}', b'{"logprobs":1}'])
def test_what_tells_no_probabilities_passes(told: bytes) -> None:
    ids = TokenIds(CHAT)
    ids.way = PROBABILITIES
    assert ids.take_out(b"data: " + told + b"\n\n", True) == b"data: " + told + b"\n\n"
    assert ids.answer == []


def test_ids_are_asked_for_as_the_engine_tells_them_and_only_where_the_client_does_not() -> None:
    assert b"return_token_ids" in wish_for_ids(CHAT, FIELDS, b"{}")
    assert wish_for_ids(CHAT, FIELDS, b'{"return_token_ids":true}') == b""
    assert wish_for_ids(COMPLETION, PROBABILITIES, b"{}") == b'"logprobs":1,'
    assert wish_for_ids(CHAT, PROBABILITIES, b'{"logprobs":true}') == b""
    assert wish_for_ids(CHAT, NO_WAY, b"{}") == wish_for_ids(RESPONSE, FIELDS, b"{}") == b""
