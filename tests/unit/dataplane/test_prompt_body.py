"""A body is read once, and what is sent in its place is framed as the client framed it."""

import json

import pytest

from penstock.dataplane.llm.prompt_body import PromptBody
from penstock.wire.chunked import LAST_CHUNK, ChunkedReader, as_one_chunk, encode_chunk
from penstock.wire.http1 import RequestHead
from penstock.wire.openai import ANTHROPIC, CHAT, COMPLETION, EMBEDDING, LLAMACPP

ASKED = {"model": "small", "stream": True, "messages": [{"role": "user", "content": "x" * 600}]}
JSON = json.dumps(ASKED).encode()
CHUNKS = encode_chunk(JSON[:10]) + encode_chunk(JSON[10:])


def head(*, chunked: bool, sealed: bool = False) -> RequestHead:
    made = RequestHead(b"", b"POST", b"/v1/chat/completions", 1)
    made.chunked = chunked
    if sealed:
        made.fields = [(b"content-digest", b"Content-Digest", b"sha-256=:x:")]
    return made


def sent(prompt: PromptBody, *, chunked: bool) -> dict[str, object]:
    bare = ChunkedReader(False, 400).feed(prompt.data) if chunked else prompt.data
    return dict(json.loads(bare))


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_needs_no_change_is_sent_as_it_came(chunked: bool) -> None:
    data = CHUNKS + LAST_CHUNK if chunked else JSON
    prompt = PromptBody(CHAT, head(chunked=chunked), data)
    assert prompt.found.model == "small"
    assert prompt.data is data
    assert not prompt.changed


@pytest.mark.parametrize("chunked", [False, True])
def test_a_model_and_the_wish_for_usage_are_asked_for_together(chunked: bool) -> None:
    data = CHUNKS + LAST_CHUNK if chunked else JSON
    prompt = PromptBody(CHAT, head(chunked=chunked), data)
    prompt.ask_for_model("large")
    prompt.ask_for_usage()
    assert prompt.changed
    assert prompt.asks_usage
    wish = {"stream_options": {"include_usage": True}}
    assert sent(prompt, chunked=chunked) == ASKED | {"model": "large"} | wish


def test_the_prefix_of_a_prompt_belongs_to_the_model_that_is_asked() -> None:
    prompt = PromptBody(CHAT, head(chunked=False), JSON)
    prompt.ask_for_model("large")
    large = json.dumps(ASKED | {"model": "large"}).encode()
    assert prompt.found.blocks == PromptBody(CHAT, head(chunked=False), large).found.blocks
    assert prompt.found.blocks != PromptBody(CHAT, head(chunked=False), JSON).found.blocks


def test_a_body_that_cannot_be_written_anew_is_not_understood() -> None:
    prompt = PromptBody(CHAT, head(chunked=False), JSON[:-1] + b', "\xff": 1}')
    assert not prompt.found.problem
    prompt.ask_for_model("large")
    assert prompt.found.problem
    assert not prompt.changed


def asked_quietly(prompt: PromptBody) -> bool:
    prompt.ask_for_usage()
    return prompt.asks_usage and prompt.changed


def test_usage_is_asked_for_only_where_nobody_notices() -> None:
    chunked = head(chunked=True)
    assert asked_quietly(PromptBody(CHAT, head(chunked=False), JSON))
    assert asked_quietly(PromptBody(CHAT, chunked, as_one_chunk(JSON)))
    assert not asked_quietly(PromptBody(CHAT, head(chunked=False, sealed=True), JSON))
    trailers = CHUNKS + b"0\r\nA: b\r\n\r\n"
    assert not asked_quietly(PromptBody(CHAT, chunked, trailers))
    at_once = json.dumps(ASKED | {"stream": False}).encode()
    assert not asked_quietly(PromptBody(CHAT, head(chunked=False), at_once))
    embedding = json.dumps({"model": "m", "input": "x", "stream": True}).encode()
    assert not asked_quietly(PromptBody(EMBEDDING, head(chunked=False), embedding))


CUT = JSON.replace(b"x" * 600, b"x" * 600 + rb"\ud83d")


@pytest.mark.parametrize("chunked", [False, True])
def test_half_an_emoji_is_understood_and_sent_as_it_came(chunked: bool) -> None:
    data = encode_chunk(CUT) + LAST_CHUNK if chunked else CUT
    prompt = PromptBody(CHAT, head(chunked=chunked), data)
    assert (prompt.found.problem, prompt.found.model) == ("", "small")
    assert prompt.data is data
    assert prompt.found.blocks == PromptBody(CHAT, head(chunked=False), JSON).found.blocks


@pytest.mark.parametrize("chunked", [False, True])
def test_half_an_emoji_stays_when_something_else_is_changed(chunked: bool) -> None:
    data = encode_chunk(CUT) + LAST_CHUNK if chunked else CUT
    prompt = PromptBody(CHAT, head(chunked=chunked), data)
    prompt.ask_for_model("large")
    prompt.ask_for_usage()
    text = "x" * 600 + "\ud83d"
    wish = {"stream_options": {"include_usage": True}}
    told = {"messages": [{"role": "user", "content": text}]}
    assert sent(prompt, chunked=chunked) == ASKED | {"model": "large"} | wish | told
    assert prompt.found.problem == ""


def test_half_an_emoji_stays_beside_characters_for_private_use() -> None:
    text = rb"\ue83d \ud83d \\ud83d \uD83D"
    data = JSON.replace(b"x" * 600, text)
    prompt = PromptBody(CHAT, head(chunked=False), data)
    assert (prompt.found.problem, prompt.found.model) == ("", "small")
    prompt.ask_for_model("large")
    assert text in prompt.data
    assert json.loads(prompt.data) == json.loads(data) | {"model": "large"}


def test_half_an_emoji_in_the_name_of_a_field_cannot_be_written_anew() -> None:
    data = JSON[:-1] + rb', "\ud83d": 1}'
    prompt = PromptBody(CHAT, head(chunked=False), data)
    assert prompt.found.problem == ""
    prompt.ask_for_model("large")
    assert prompt.found.problem
    assert prompt.data is data


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("more", [{}, {"stream_options": {"include_usage": False}}])
def test_a_prompt_can_be_asked_plainly_again_and_back(
    chunked: bool, more: dict[str, object]
) -> None:
    json_ = json.dumps(ASKED | more).encode()
    data = as_one_chunk(json_) if chunked else json_
    prompt = PromptBody(CHAT, head(chunked=chunked), data)
    for _ in range(2):
        prompt.ask_for_usage()
        assert prompt.asks_usage
        assert prompt.ask_plainly()
        assert (prompt.data, prompt.changed, prompt.asks_usage) == (data, False, False)
        assert not prompt.ask_plainly()


def test_a_prompt_that_was_dropped_stays_as_it_was_sent() -> None:
    prompt = PromptBody(CHAT, head(chunked=False), JSON)
    prompt.ask_for_usage()
    prompt.drop()
    assert not prompt.ask_plainly()
    assert prompt.asks_usage


def test_another_model_is_asked_for_plainly_and_may_be_asked_for_usage() -> None:
    prompt = PromptBody(CHAT, head(chunked=False), JSON)
    prompt.ask_for_usage()
    prompt.ask_for_model("large")
    assert not prompt.asks_usage
    assert sent(prompt, chunked=False) == ASKED | {"model": "large"}
    prompt.ask_for_usage()
    assert prompt.ask_plainly()
    assert prompt.changed
    assert sent(prompt, chunked=False) == ASKED | {"model": "large"}


def test_of_several_choices_usage_is_not_asked() -> None:
    """Each one's end would have to be held until the next event shows whether it was the last."""
    for count, asks in ((1, True), (None, True), (2, False)):
        body = json.dumps(ASKED | {"n": count}).encode()
        assert PromptBody(CHAT, head(chunked=False), body).may_ask_for_usage() is asks


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("usage", [False, True])
def test_a_slot_is_asked_for_and_given_up_again(chunked: bool, usage: bool) -> None:
    data = as_one_chunk(JSON) if chunked else JSON
    prompt = PromptBody(CHAT, head(chunked=chunked), data)
    wish = {"stream_options": {"include_usage": True}} if usage else {}
    if usage:
        prompt.ask_for_usage()
    for slot in (3, 12):
        assert prompt.ask_for_slot(slot)
        assert sent(prompt, chunked=chunked) == ASKED | wish | {"id_slot": slot}
        assert prompt.changed
    prompt.leave_slot()
    assert sent(prompt, chunked=chunked) == ASKED | wish
    assert prompt.changed is usage
    prompt.ask_for_slot(0)
    assert prompt.ask_plainly() is usage
    assert (prompt.data, prompt.changed, prompt.names_slot) == (data, False, False)


def test_another_model_is_asked_for_without_the_slot_of_the_first() -> None:
    prompt = PromptBody(CHAT, head(chunked=False), JSON)
    prompt.ask_for_usage()
    prompt.ask_for_slot(1)
    prompt.ask_for_model("large")
    assert sent(prompt, chunked=False) == ASKED | {"model": "large"}


@pytest.mark.parametrize(
    ("api", "more", "may"),
    [
        (CHAT, {"messages": []}, True),
        (CHAT, {"messages": [], "id_slot": 1}, False),
        (CHAT, {"messages": [], "id_slot": -1}, False),
        (CHAT, {"messages": [], "n": 2}, False),
        (COMPLETION, {"prompt": "text"}, True),
        (COMPLETION, {"prompt": ["text", "text"]}, False),
        (LLAMACPP, {"prompt": "text"}, True),
        (LLAMACPP, {"input_prefix": "text", "input_suffix": "text"}, True),
        (ANTHROPIC, {"messages": [], "max_tokens": 1}, False),
        (EMBEDDING, {"input": "text"}, False),
    ],
)
def test_a_slot_is_asked_for_one_sequence_whose_client_leaves_it_open(
    api: int, more: dict[str, object], may: bool
) -> None:
    prompt = PromptBody(api, head(chunked=False), json.dumps({"model": "m"} | more).encode())
    assert prompt.may_ask_for_slot() is may
    sealed = PromptBody(CHAT, head(chunked=False, sealed=True), JSON)
    assert not sealed.may_ask_for_slot()
