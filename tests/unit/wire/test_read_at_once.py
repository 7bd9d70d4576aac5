"""What is read at once, in C, is what decoding makes of it; all else is left to that."""

import json
from collections.abc import Callable
from typing import Any, Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from penstock.wire.inspection import Inspection
from penstock.wire.openai import CHAT, inspect, inspect_decoded, understood_at_once
from penstock.wire.openai_prompt import MAX_OBJECTS
from penstock.wire.sse import SseMeter

_prompts: Final = pytest.importorskip("penstock._prompts", reason="not built")
_answers: Final = pytest.importorskip("penstock._answers", reason="not built")
_FACTS: Final = (
    *("problem", "model", "stream", "choices", "transfer", "stays", "tools", "runs_tools", "user"),
    *("output_limit", "session_hash", "continues", "cache_salt", "stream_options", "id_slot"),
    *("single", "opening", "answered", "prompt_bytes", "prompt_tokens", "images", "blocks"),
)
SHORT: Final = st.sampled_from(["", "hi", "a\nb", "ü {", '"', "x" * 300, "\U0001f600", "\\u12"])
NAME: Final = st.one_of(st.none(), st.sampled_from(["", "ann", "ü", "a\nb", "s" * 1100]))
ANYTHING: Final = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), SHORT),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(SHORT, inner, max_size=3)),
    max_leaves=6,
)
PART: Final = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "input_text", "image_url"])},
    optional={"text": ANYTHING, "image_url": ANYTHING, "cache_control": ANYTHING},
)
MESSAGE: Final = st.fixed_dictionaries(
    {},
    optional={
        "role": st.sampled_from(["system", "user", "assistant", "tool", "ü", 5]),
        "content": st.one_of(SHORT, st.none(), st.lists(st.one_of(PART, SHORT), max_size=3)),
        "name": ANYTHING,
        "tool_calls": ANYTHING,
        "tool_call_id": ANYTHING,
        "function_call": ANYTHING,
        "reasoning_content": ANYTHING,
        "refusal": ANYTHING,
    },
)
CHATS: Final = st.fixed_dictionaries(
    {},
    optional={
        "messages": st.lists(MESSAGE, max_size=4),
        "model": NAME,
        "stream": st.sampled_from([True, False, None, 1]),
        "max_tokens": st.sampled_from([None, 0, -3, 16, 16.0, "16", 10**17, 10**30]),
        "max_completion_tokens": st.sampled_from([None, 0, 7]),
        "n": st.sampled_from([None, 0, 2, -1]),
        "store": ANYTHING,
        "background": ANYTHING,
        "user": NAME,
        "safety_identifier": NAME,
        "prompt_cache_key": NAME,
        "cache_salt": NAME,
        "stream_options": ANYTHING,
        "tools": ANYTHING,
        "functions": ANYTHING,
        "temperature": ANYTHING,
        "id_slot": ANYTHING,
        "bootstrap_room": ANYTHING,
        "web_search_options": ANYTHING,
    },
)
ANSWERS: Final = st.fixed_dictionaries(
    {},
    optional={
        "id": st.sampled_from(["chatcmpl-1", "ü", 5, None]),
        "object": st.sampled_from(["chat.completion", "response", None]),
        "choices": st.one_of(
            ANYTHING,
            st.lists(
                st.fixed_dictionaries(
                    {"message": ANYTHING},
                    optional={"finish_reason": st.sampled_from([None, "", "stop", "ü", 5])},
                ),
                max_size=2,
            ),
        ),
        "usage": st.one_of(
            ANYTHING,
            st.fixed_dictionaries(
                {},
                optional={
                    "prompt_tokens": st.sampled_from([None, 0, 7, -1, 7.5, 1 << 40]),
                    "completion_tokens": st.sampled_from([None, 0, 7, -1, 10**30]),
                    "prompt_tokens_details": st.one_of(
                        ANYTHING,
                        st.fixed_dictionaries({"cached_tokens": st.sampled_from([None, 3, -1])}),
                    ),
                    "input_tokens": st.sampled_from([None, 4]),
                    "cache_read_input_tokens": st.sampled_from([None, 4]),
                },
            ),
        ),
        "timings": st.one_of(st.none(), ANYTHING),
        "stop_reason": st.sampled_from([None, "end_turn"]),
        "message": st.one_of(st.none(), ANYTHING),
    },
)
# Written otherwise than Python does, or not whole, or twice.
CHANGES: Final[list[Callable[[str], str]]] = [
    lambda text: text,
    lambda text: f"\n {text} \r\n\t",
    lambda text: text[:-1],
    lambda text: text + "x",
    lambda text: text.replace(": ", " :"),
    lambda text: text[:-1] + "," + text[1:] if text != "{}" else text,
    lambda text: text.replace("0", "01"),
    lambda text: text.replace("7", "7e1"),
    lambda text: text.replace("\\u", "\\v"),
    lambda text: text.replace("a", "\x01"),
    lambda text: text.replace("]", ",]"),
]


def facts(found: Inspection) -> dict[str, Any]:
    return {name: getattr(found, name) for name in _FACTS}


def at_once(body: bytes) -> Inspection | None:
    read = _prompts.chat(body, MAX_OBJECTS)
    return understood_at_once(read) if read is not None else None


def written(value: Any, change: Callable[[str], str], plainly: bool) -> bytes:
    return change(json.dumps(value, ensure_ascii=not plainly)).encode("utf-8", "surrogatepass")


@given(CHATS, st.sampled_from(CHANGES), st.booleans())
def test_a_chat_that_is_read_at_once_asks_for_what_it_does_when_it_is_decoded(
    chat: Any, change: Callable[[str], str], plainly: bool
) -> None:
    body = written(chat, change, plainly)
    found = at_once(body)
    if found is not None:
        assert facts(found) == facts(inspect_decoded(CHAT, body))


@given(ANSWERS, st.sampled_from(CHANGES), st.booleans())
@example(
    {"usage": {"prompt_tokens": None, "prompt_tokens_details": {"cached_tokens": 3}}}, str, True
)
def test_an_answer_that_is_read_at_once_tells_what_it_does_when_it_is_decoded(
    answer: Any, change: Callable[[str], str], plainly: bool
) -> None:
    body = written(answer, change, plainly)
    meter, decoding = SseMeter(), SseMeter()
    told = _answers.answer(body)
    if told is not None:
        meter.take_at_once(told)
        decoding.read_decoded(body)
        for name in ("finish_reason", "prompt_tokens", "cached_tokens", "output_tokens"):
            assert getattr(meter, name) == getattr(decoding, name)
        assert decoding.response_id == ""


@pytest.mark.parametrize("size", [10, 255, 256, 5_000, 70_000, 1_700_000])
def test_what_sdks_send_is_read_at_once(size: int) -> None:
    turns: list[dict[str, Any]] = [{"role": "system", "content": "Be brief."}]
    turns += [{"role": role, "content": "wörd\n" * size} for role in ("user", "assistant", "user")]
    turns += [{"role": "user", "content": [{"type": "text", "text": "and now?"}]}]
    tools = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
    chat = {"model": "m", "messages": turns, "stream": True, "max_tokens": 9, "temperature": 0.7}
    for body in (chat, {**chat, "tools": tools, "stream_options": {"include_usage": True}}):
        data = json.dumps(body).encode()
        found = at_once(data)
        assert found is not None
        assert facts(found) == facts(inspect_decoded(CHAT, data))


def test_what_engines_answer_is_read_at_once() -> None:
    usage = {"prompt_tokens": 34, "completion_tokens": 8, "prompt_tokens_details": None}
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "Hi!"},
        "finish_reason": "stop",
    }
    told = {"id": "chatcmpl-1", "object": "chat.completion", "choices": [choice], "usage": usage}
    assert _answers.answer(json.dumps(told).encode()) == ("stop", 34, -1, 8)


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b'{"messages"', b'{"messages":[', b'{"messages":[{"role":"user"'),
        *(b"[" * 100_000, b'{"messages":[],"a":' + b"[" * 70 + b"]" * 70 + b"}"),
        b'{"messages":[],"a":"\\',
    ],
)
def test_what_is_not_whole_or_deep_is_left(body: bytes) -> None:
    assert at_once(body) is None
    assert _answers.answer(body) is None


def test_tools_that_are_no_utf8_are_refused_as_decoding_does() -> None:
    body = b'{"model":"m","messages":[{"role":"user"}],"tools":[{"type":"\xda"}]}'
    assert facts(inspect(CHAT, body)) == facts(inspect_decoded(CHAT, body))


def test_a_chat_with_more_objects_than_are_read_is_left() -> None:
    body = b'{"messages":[],"x":"%b"}'
    assert at_once(body % (b"{" * MAX_OBJECTS + b" " * MAX_OBJECTS)) is None
    assert at_once(body % (b"{" * (MAX_OBJECTS - 1) + b" " * MAX_OBJECTS)) is not None


@pytest.mark.parametrize("ends", [[100], [256, 5000], [256, 10_000], [-1], [1 << 60]])
def test_blocks_end_within_the_prompt(ends: list[int]) -> None:
    read = _prompts.chat(json.dumps({"messages": [{"content": "x" * 8000}]}).encode(), MAX_OBJECTS)
    with pytest.raises(ValueError, match="within the prompt"):
        read[-1].blocks(ends, len(ends), 0)
