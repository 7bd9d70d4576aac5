"""Usage is asked for by changing a request's bytes in one place, and hidden the same way."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.wire.openai import CHAT, inspect
from penstock.wire.usage import UsageHider, wish_for_usage
from penstock.wire.usage_habit import LEARNT, NAMES_USAGE

MESSAGES = '"messages":[{"role":"user","content":"say \\"stream_options\\":null {}"}]'


def asking(body: str) -> bytes:
    found = inspect(CHAT, body.encode())
    assert not found.problem
    wish = wish_for_usage(body.encode(), found.stream_options)
    if wish is None:
        return b""
    asked = wish.written_into(body.encode())
    assert wish.taken_out_of(asked) == body.encode()
    return asked


def test_the_wish_is_written_in_and_all_else_stays() -> None:
    body = '{ "stream":true, "model":"m",\n "seed": 1e0, ' + MESSAGES + "}"
    wish = b'"stream_options":{"include_usage":true},'
    asked = asking(body)
    assert asked.replace(wish, b"", 1) == body.encode()
    assert json.loads(asked) == json.loads(body) | {"stream_options": {"include_usage": True}}


@pytest.mark.parametrize(
    "given_options",
    ["null", "{}", "{ }", '{"include_usage":false}', '{"x": [1], "include_usage" : null}'],
)
def test_options_that_do_not_ask_are_completed(given_options: str) -> None:
    body = '{"model":"m","stream":true,"stream_options" : ' + given_options + f" ,{MESSAGES}}}"
    before = json.loads(body)
    wanted = before | {"stream_options": (before["stream_options"] or {}) | {"include_usage": True}}
    assert json.loads(asking(body)) == wanted


@pytest.mark.parametrize(
    "given_options",
    [
        '{"include_usage":true}',  # asked already
        '{"include_usage":"no"}',  # the engine may refuse it
        '"all"',
        '{"continuous_usage_stats":true}',
        '{"include_usage":false,"include_usage":false}',
    ],
)
def test_a_body_stays_as_it_is_where_the_place_is_not_certain(given_options: str) -> None:
    body = '{"model":"m","stream":true,"stream_options":' + given_options + f",{MESSAGES}}}"
    assert asking(body) == b""


def test_a_key_of_that_name_inside_of_a_tool_is_not_taken_for_it() -> None:
    tools = '"tools":[{"stream_options":null}]'
    assert asking('{"model":"m","stream_options":null,' + f"{tools},{MESSAGES}}}") == b""


def event(value: Any, end: bytes = b"\n\n") -> bytes:
    return b"data: " + json.dumps(value).encode() + end


def text(content: str, **more: Any) -> bytes:
    return event({"id": "1", "choices": [{"delta": {"content": content}}], **more})


USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
USAGE_EVENTS = (
    event({"id": "1", "choices": [], "usage": USAGE}),
    event({"usage": USAGE, "choices": []}, b"\r\n\r\n"),
    b'data:{"choices":[],"usage":{}}\n\n',
    event({"choices": None, "usage": USAGE}),
    event({"id": "1", "usage": USAGE}),
    b"event: message\n" + event({"choices": [], "usage": USAGE}),
    b"id: 7\r\nevent: message\r\n"
    + event({"choices": [], "usage": USAGE}, b"\r\nretry: 3\r\n\r\n"),
    b'data: {"choices":\ndata: [],\ndata: "usage": {}\ndata: }\n\n',
)
OTHER_EVENTS = (
    text("a"),
    text("b", usage=None),
    text('"usage":{"prompt_tokens":1},"choices":[]'),
    event({"choices": [], "prompt_filter_results": [], "usage": None}),  # Azure's first
    event({"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": USAGE}),
    b": keep-alive\n\n",
    b": keep-alive\n",
    b":\r\n",
    b"event: ping\ndata: {}\n\n",
    b"data: no json\r\n\r\n",
    b"\n",
)
DONE = b"data: [DONE]\n\n"


@given(
    st.lists(st.sampled_from(OTHER_EVENTS)),
    st.sampled_from(USAGE_EVENTS),
    st.lists(st.integers(1, 40), max_size=60),
)
def test_exactly_the_usage_event_is_taken_out_however_the_stream_is_cut(
    others: list[bytes], usage: bytes, cuts: list[int]
) -> None:
    before = b"".join(others)
    stream = before + usage + DONE
    assert hidden(stream, cuts) == before + DONE


@given(st.lists(st.sampled_from((*OTHER_EVENTS, DONE)), min_size=1))
def test_whole_events_are_never_held(events: list[bytes]) -> None:
    hider = UsageHider()
    for each in events:
        assert hider.feed(each, finishing=False) == each


def test_an_event_in_pieces_is_passed_on_when_it_is_whole() -> None:
    hider = UsageHider()
    first = b'data: {"id":"1","choices":[{"delta":{"content":"a long'
    assert hider.feed(first) == b""
    assert hider.feed(b' text"}}]}\n\ndata: {"id') == first + b' text"}}]}\n\n'
    assert hider.feed(b'":"1","choices":[]') == b""
    assert hider.feed(b',"usage":{}}\n') == b""
    assert hider.feed(b"\n" + DONE) == DONE


def test_what_is_no_event_is_passed_on_at_once() -> None:
    assert UsageHider().feed(b"some text") == b"some text"


def test_a_comment_is_passed_on_at_once() -> None:
    """Servers send them to keep a connection alive, without an empty line as well."""
    hider = UsageHider()
    assert hider.feed(b": keep-alive\n") == b": keep-alive\n"
    assert hider.feed(b'data: {"choices":[],"usage":{}}') == b""
    assert hider.feed(b"\n\n: ") == b""
    assert hider.feed(b"keep-alive\n") == b": keep-alive\n"


def test_a_stream_that_ends_within_an_event_loses_nothing() -> None:
    hider = UsageHider()
    assert hider.feed(b'data: {"id"') == b""
    assert hider.finish() == b'data: {"id"'


def test_usage_is_hidden_at_the_very_end_without_an_empty_line() -> None:
    hider = UsageHider()
    assert hider.feed(b'data: {"choices":[],"usage":{}}') == b""
    assert hider.finish() == b""


def test_an_event_without_end_is_not_held_for_ever() -> None:
    hider = UsageHider()
    endless = b'data: {"id":"' + b"x" * 70_000
    assert hider.feed(endless) == endless
    assert hider.feed(b'"}\n\ndata: {"usage":{}}\n\n' + DONE) == b'"}\n\n' + DONE


@given(st.lists(st.integers(1, 40), max_size=60))
def test_events_parted_by_one_newline_are_told_apart(cuts: list[int]) -> None:
    """As clients do that read line by line."""
    token = b'data: {"choices": [{"delta": {"content": "}\\ndata: {"}}]}\n'
    usage = b'data: {"choices": [], "usage": {"prompt_tokens": 1}}\n'
    last = b"data: [DONE]\n"
    assert hidden(token + token + usage + last, cuts) == token + token + last
    assert hidden(token + usage + b"\n" + last, cuts) == token + b"\n" + last


def hidden(stream: bytes, cuts: list[int], habit: int = 0) -> bytes:
    hider = UsageHider(habit)
    passed = b""
    at = 0
    for cut in [*cuts, len(stream)]:
        passed += hider.feed(stream[at : at + cut])
        at += cut
    return passed + hider.finish()


FINISH = b'data: {"choices":[{"finish_reason":"length","index":0,"delta":{}}],"model":"m"}\n\n'


@given(st.lists(st.integers(1, 60), max_size=30))
def test_what_moved_into_the_usage_event_goes_back(cuts: list[int]) -> None:
    """As llama.cpp's server and vLLM (0.32) were seen to send both."""
    times = b'"timings":{"cache_n":20,"prompt_ms":0.69}'
    asked = b'data: {"choices":[],"model":"m","usage":{"prompt_tokens":21},' + times + b"}\n\n"
    plain = FINISH[:-3] + b"," + times + b"}\n\n"
    assert hidden(text("a") + FINISH + asked + DONE, cuts) == text("a") + plain + DONE
    waiting = FINISH + b": wait\n\n"  # an answer's end is not withheld for as long as it takes
    assert hidden(waiting + asked + DONE, cuts) == waiting + DONE
    print_ = b'"system_fingerprint":"vllm-0.32.0-1a2b"'
    asked = b'data: {"choices":[],"usage":{"prompt_tokens":21},' + print_ + b"}\n\n"
    plain = FINISH[:-3] + b"," + print_ + b"}\n\n"
    assert hidden(FINISH + asked + DONE, cuts) == plain + DONE
    assert hidden(plain + asked + DONE, cuts) == plain + DONE  # it was there anyway
    assert hidden(FINISH + asked + DONE, cuts, LEARNT) == FINISH + DONE  # never without the wish


@given(st.lists(st.integers(1, 60), max_size=30))
def test_a_null_that_only_the_wish_brings_is_taken_out(cuts: list[int]) -> None:
    token = b'data: {"id":"1","choices":[{"delta":{"content":"a"}}]%b}\n\n'
    asked = token % b',"usage":null' + b'data: {"choices":[],"usage":{}}\n\n' + DONE
    assert hidden(asked, cuts, LEARNT) == token % b"" + DONE
    assert hidden(asked, cuts, LEARNT | NAMES_USAGE) == token % b',"usage":null' + DONE


def test_usage_beside_an_answer_is_taken_out_where_nobody_gets_it_unasked() -> None:
    told = b'data: {"choices":[{"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}\n\n'
    usage = b',"usage":{"prompt_tokens":1}'
    assert hidden(told + DONE, [], LEARNT) == told.replace(usage, b"") + DONE
    null = told.replace(usage, b',"usage":null')
    assert hidden(told + DONE, [], LEARNT | NAMES_USAGE) == null + DONE
    assert hidden(told + DONE, []) == told + DONE
