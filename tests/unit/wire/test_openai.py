"""A request's body is understood as far as routing needs, or it says why not."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.wire.api_paths import answer_in, api_of
from penstock.wire.inspection import Inspection
from penstock.wire.model_name import MAX_NAME
from penstock.wire.openai import (
    ANTHROPIC,
    CHAT,
    COMPLETION,
    EMBEDDING,
    LLAMACPP,
    OTHER,
    RESPONSE,
    inspect,
)
from penstock.wire.openai_prompt import MAX_OBJECTS
from penstock.wire.prompt_blocks import MAX_BLOCKS
from penstock.wire.session_keys import MAX_KEY_BYTES, session_hash

LONG = "once upon a time there was a load balancer " * 100


def understood(api: int, **body: Any) -> Inspection:
    found = inspect(api, json.dumps({"model": "m", **body}).encode())
    assert found.problem == ""
    return found


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def shared(one: Inspection, other: Inspection) -> int:
    """How many leading blocks are the same."""
    count = 0
    for mine, theirs in zip(one.blocks, other.blocks, strict=False):
        if mine != theirs:
            break
        count += 1
    return count


@pytest.mark.parametrize(
    ("path", "api"),
    [
        (b"/v1/chat/completions", CHAT),
        (b"/team/v1/chat/completions?x=/embeddings", CHAT),
        (b"/v1/completions", COMPLETION),
        (b"/v1/embeddings", EMBEDDING),
        (b"/v1/responses", RESPONSE),
        (b"/v1/messages", ANTHROPIC),
        (b"/v1/models", OTHER),
        (b"/v1/messages/count_tokens", OTHER),
        (b"/v1/threads/thread_1/messages", OTHER),  # of OpenAI's assistants
        (b"/v1/threads/thread_1/messages?limit=2", OTHER),
    ],
)
def test_the_api_is_told_by_the_end_of_the_path(path: bytes, api: int) -> None:
    assert api_of(path) == api


def test_what_a_chat_asks_for() -> None:
    found = understood(CHAT, messages=[user("hi")], stream=True, max_tokens=7, user="ann")
    assert (found.model, found.stream, found.output_limit) == ("m", True, 7)
    assert found.session_hash == session_hash(b"ann")
    found = understood(CHAT, messages=[], max_tokens=7, max_completion_tokens=9, stream=None)
    assert (found.stream, found.output_limit, found.session_hash) == (False, 9, 0)


def test_a_limit_may_be_written_as_a_fraction() -> None:
    assert understood(CHAT, messages=[user("hi")], max_tokens=16.0).output_limit == 16
    assert understood(CHAT, messages=[], max_completion_tokens=9.0).output_limit == 9
    assert understood(RESPONSE, input="hi", max_output_tokens=1e3).output_limit == 1000
    assert understood(CHAT, messages=[], max_tokens=-0.5).output_limit == 0


def test_a_limit_without_measure_can_be_reckoned_with() -> None:
    found = understood(CHAT, messages=[user("hi")], max_tokens=10**400)
    assert float(found.output_limit) > 1e8


def test_a_name_without_measure_is_not_kept() -> None:
    body = {"messages": [user("hi")], "model": "m" * (MAX_NAME + 1)}
    found = inspect(CHAT, json.dumps(body).encode())
    assert found.problem
    assert not found.model


def test_the_cache_key_names_a_session_before_the_user_does() -> None:
    found = understood(RESPONSE, input="hi", user="ann", prompt_cache_key="k", max_output_tokens=3)
    assert found.session_hash == session_hash(b"k")
    assert found.output_limit == 3
    found = understood(ANTHROPIC, messages=[user("hi")], metadata={"user_id": "ann"}, max_tokens=5)
    assert (found.session_hash, found.output_limit) == (session_hash(b"ann"), 5)


def test_a_conversation_names_a_session_as_text_and_as_object() -> None:
    for conversation in ("c1", {"id": "c1"}):
        found = understood(RESPONSE, input="hi", conversation=conversation, prompt_cache_key="k")
        assert found.session_hash == session_hash(b"c1")
    for unreadable in (7, {"name": "c1"}, ["c1"], None):
        found = understood(RESPONSE, input="hi", conversation=unreadable, prompt_cache_key="k")
        assert found.session_hash == session_hash(b"k")


def test_equal_inputs_of_two_conversations_are_different_prompts() -> None:
    text = "so much that it fills a block " * 20
    one = understood(RESPONSE, input=text, conversation="c1")
    other = understood(RESPONSE, input=text, conversation="c2")
    assert one.blocks
    assert shared(one, other) == 0


def test_a_response_before_names_no_session_since_every_turn_has_another() -> None:
    found = understood(RESPONSE, input="hi", previous_response_id="resp_1")
    assert found.session_hash == 0


def test_a_turn_names_the_answer_that_it_goes_on_from() -> None:
    found = understood(RESPONSE, input="hi", previous_response_id="resp_1")
    assert found.continues == session_hash(b"resp_1")
    assert understood(RESPONSE, input="hi").continues == 0
    for unreadable in (None, 7, "", ["resp_1"]):
        found = understood(RESPONSE, input="hi", previous_response_id=unreadable)
        assert found.continues == 0


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (b"/v1/responses/resp_1", b"resp_1"),
        (b"/engine/v1/responses/resp_1/input_items?limit=2", b"resp_1"),
        (b"/v1/responses/resp_1/cancel", b"resp_1"),
        (b"/v1/responses", b""),
        (b"/v1/responses/", b""),
        (b"/v1/chat/completions?next=/responses/resp_1", b""),
    ],
)
def test_a_path_names_the_answer_that_it_is_about(path: bytes, name: bytes) -> None:
    assert answer_in(path) == (session_hash(name) if name else 0)


def test_what_is_empty_or_too_long_names_no_session() -> None:
    long = "k" * (MAX_KEY_BYTES + 1)
    found = understood(CHAT, messages=[], prompt_cache_key=long, user="", safety_identifier="ann")
    assert found.session_hash == session_hash(b"ann")
    found = understood(CHAT, messages=[], prompt_cache_key=long)
    assert found.session_hash == 0


def test_a_conversation_that_goes_on_keeps_its_blocks() -> None:
    turns = [user(LONG), {"role": "assistant", "content": LONG}]
    before = understood(CHAT, messages=turns)
    after = understood(CHAT, messages=[*turns, user("and then?")])
    assert len(before.blocks) == before.block_ends[-1] // 256 > 30
    assert shared(before, after) == len(before.blocks)


def test_a_difference_changes_all_blocks_behind_it_and_none_before() -> None:
    one = understood(CHAT, messages=[user(LONG), user("a" * 300), user(LONG)])
    other = understood(CHAT, messages=[user(LONG), user("b" * 300), user(LONG)])
    differs = (len(LONG) + 10) // 256
    assert shared(one, other) == differs
    assert not set(one.blocks[differs:]) & set(other.blocks[differs:])


def test_models_share_no_blocks() -> None:
    one = understood(CHAT, messages=[user(LONG)])
    other = inspect(CHAT, json.dumps({"model": "n", "messages": [user(LONG)]}).encode())
    assert shared(one, other) == 0


def test_the_order_of_keys_and_cache_marks_change_nothing() -> None:
    plain = {"type": "text", "text": LONG}
    marked = {"cache_control": {"type": "ephemeral"}, "text": LONG, "type": "text"}
    one = understood(ANTHROPIC, system=[plain], messages=[user([plain])], tools=[{"name": "t"}])
    other = understood(ANTHROPIC, tools=[{"name": "t"}], messages=[user([marked])], system=[marked])
    assert one.blocks == other.blocks
    assert one.blocks


def test_tools_come_before_system_and_messages() -> None:
    tools = [{"type": "function", "function": {"name": "f", "description": LONG}}]
    one = understood(CHAT, messages=[user("a")], tools=tools)
    other = understood(CHAT, messages=[user("b")], tools=tools)
    assert shared(one, other) == len(json.dumps(tools)) // 256


def test_images_stand_for_themselves_by_a_digest() -> None:
    def with_image(data: str) -> Inspection:
        image = {"type": "image_url", "image_url": {"url": data}}
        return understood(CHAT, messages=[user([image, {"type": "text", "text": LONG}])])

    one, other = with_image("data:" + "A" * 100_000), with_image("data:" + "B" * 100_000)
    assert one.images == 1
    assert one.prompt_bytes < len(LONG) + 100
    assert shared(one, other) == 0
    assert one.blocks == with_image("data:" + "A" * 100_000).blocks


def test_prompts_of_token_ids_are_counted_exactly() -> None:
    assert understood(COMPLETION, prompt=[1, 2, 3]).prompt_tokens == 3
    assert understood(EMBEDDING, input=[[1, 2], [3]]).prompt_tokens == 3
    assert understood(COMPLETION, prompt="1, 2").prompt_tokens == -1
    assert understood(EMBEDDING, input=["1", "2"]).prompt_tokens == -1


def test_tool_results_and_response_items_count() -> None:
    result = {
        "type": "tool_result",
        "tool_use_id": "t",
        "content": [{"type": "text", "text": LONG}],
    }
    assert understood(ANTHROPIC, messages=[user([result])]).prompt_bytes > len(LONG)
    item = {"type": "function_call_output", "call_id": "c", "output": LONG}
    assert understood(RESPONSE, input=[item]).prompt_bytes > len(LONG)


def test_blocks_are_bounded() -> None:
    found = understood(CHAT, messages=[user("x" * 3_000_000)])
    assert len(found.blocks) == len(found.block_ends) == MAX_BLOCKS


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b"[]",
        b'{"model":1,"messages":[]}',
        b'{"model":"m","messages":[{}',
        b'{"model":"\xff","messages":[]}',
        b'{"model":"m","messages":[' + b"[" * 100_000,
    ],
)
def test_what_cannot_be_read_is_not_guessed(body: bytes) -> None:
    found = inspect(CHAT, body)
    assert found.problem
    assert (found.model, found.blocks, found.prompt_bytes) == ("", [], 0)


@pytest.mark.parametrize(
    ("api", "body"),
    [
        (CHAT, b'{"model":"m"}'),
        (CHAT, b'{"model":"m","messages":"text"}'),
        (CHAT, b'{"model":"m","messages":[],"max_tokens":"many"}'),
        (CHAT, b'{"model":"m","messages":[' + b"{}," * MAX_OBJECTS + b"{}]}"),
        (EMBEDDING, b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'),  # vLLM's
        (COMPLETION, b'{"model":"m","prompt_embeds":"AAAA"}'),  # vLLM's
        (RESPONSE, b'{"model":"m","prompt":{"id":"pmpt_1"}}'),
    ],
)
def test_of_what_is_not_understood_the_model_is_known(api: int, body: bytes) -> None:
    found = inspect(api, body)
    assert found.problem
    assert (found.api, found.model, found.blocks, found.prompt_bytes) == (api, "m", [], 0)


@pytest.mark.parametrize("model", [b"", b'"model":null,'])
def test_a_chat_need_not_name_a_model(model: bytes) -> None:
    """Engines that serve one do without (vLLM, SGLang, llama.cpp)."""
    found = inspect(CHAT, b"{" + model + b'"messages":[{"role":"user","content":"hi"}]}')
    assert (found.problem, found.model, found.prompt_bytes) == ("", "", 9)


def test_values_are_taken_as_engines_take_them() -> None:
    plain = understood(CHAT, messages=[user(LONG)], max_tokens=100, stream=True)
    lax = understood(CHAT, messages=[user(LONG)], max_tokens="100", stream=1)
    assert (lax.output_limit, lax.stream, lax.blocks) == (100, True, plain.blocks)
    assert not understood(CHAT, messages=[], stream="false").stream


def test_bare_text_is_a_part_of_a_message() -> None:
    bare = understood(CHAT, messages=[user(["hello", "there"])])
    assert bare.prompt_bytes == len("user") + len("hello") + len("there") + 2


@given(body=st.binary(max_size=200), api=st.integers(OTHER, ANTHROPIC))
def test_no_body_raises(body: bytes, api: int) -> None:
    inspect(api, b'{"model":"m","messages":[' + body)
    inspect(api, body)


@pytest.mark.parametrize("api", [CHAT, ANTHROPIC])
def test_only_prompts_of_the_same_salt_share_a_prefix(api: int) -> None:
    plain = understood(api, messages=[user(LONG)])
    salted = understood(api, messages=[user(LONG)], cache_salt="a")
    assert shared(salted, plain) == 0
    assert shared(salted, understood(api, messages=[user(LONG)], cache_salt="b")) == 0
    assert salted.blocks == understood(api, messages=[user(LONG)], cache_salt="a").blocks


def test_of_an_unknown_form_only_the_model_is_read() -> None:
    found = inspect(OTHER, b'{"a": [{"model": "inner"}], "model": "m", "stream": true}')
    assert (found.model, found.stream, found.prompt_bytes) == ("m", False, 0)
    assert found.problem  # it is no prompt that was understood


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"m",
        b"[]",
        b'{"model": null}',
        b'{"model": ["m"]}',
        b'{"model": "m"',
        b'{"model": "\xff"}',
        b'{"model": "' + b"m" * (MAX_NAME + 1) + b'"}',
        b'{"model": "m", "a": ' + b"[" * 100_000,
    ],
)
def test_what_names_no_model_names_none(body: bytes) -> None:
    assert inspect(OTHER, body).model == ""


MEBIBYTES_3 = 3 << 20


@pytest.mark.parametrize(
    "content",
    ["[" + '"a" ,' * (MEBIBYTES_3 // 5) + '"a"]', "[" + '"\\\\",' * (MEBIBYTES_3 // 5) + '"a"]'],
)
def test_a_message_of_too_many_parts_is_not_read_and_known_by_the_model_at_its_front(
    content: str,
) -> None:
    """Texts are parts as well; millions of them would hold up all others."""
    body = '{"model": "m", "messages": [{"role": "user", "content": ' + content + "}]}"
    found = inspect(CHAT, body.encode())
    assert (found.problem, found.model) == ("too many parts in one message", "m")


def test_of_too_many_objects_only_the_front_is_looked_at() -> None:
    objects = "{}," * (MEBIBYTES_3 // 3) + "{}"
    found = inspect(CHAT, b'{"model": "m", "messages": [' + objects.encode() + b"]}")
    assert (found.problem, found.model) == ("over 100000 objects", "m")
    found = inspect(CHAT, b'{"messages": [' + objects.encode() + b'], "model": "m"}')
    assert (found.problem, found.model) == ("over 100000 objects", "")


@pytest.mark.parametrize("path", [b"/completion", b"/llama/completion?x", b"/infill"])
def test_llamacpps_own_completions_are_known(path: bytes) -> None:
    assert api_of(path) == LLAMACPP


def test_llamacpps_own_completions_have_prefixes() -> None:
    long = "a" * 600
    first = inspect(LLAMACPP, json.dumps({"prompt": long + "b", "n_predict": 7}).encode())
    second = inspect(LLAMACPP, json.dumps({"n_predict": -1, "prompt": long + "c"}).encode())
    assert first.problem == second.problem == ""
    assert (first.output_limit, second.output_limit) == (7, 0)
    assert len(first.blocks) == 2
    assert first.blocks == second.blocks
    assert inspect(LLAMACPP, b'{"prompt": [1, 2, 3]}').prompt_tokens == 3


def test_what_stands_before_a_gap_is_the_prefix_of_what_fills_it() -> None:
    before = {"input_prefix": "a" * 600}
    first = inspect(LLAMACPP, json.dumps({**before, "input_suffix": "b"}).encode())
    second = inspect(LLAMACPP, json.dumps({"input_suffix": "c", **before, "prompt": ""}).encode())
    assert first.blocks[:2] == second.blocks[:2]


def test_turns_of_a_conversation_have_its_opening_in_common_and_no_other_has_it() -> None:
    system = {"role": "system", "content": "s" * 300}
    first = understood(CHAT, messages=[system, user("one")])
    answer = {"role": "assistant", "content": "yes"}
    later = understood(CHAT, messages=[system, user("one"), answer, user("more")])
    other = understood(CHAT, messages=[system, user("two")])
    assert first.opening == later.opening != 0
    assert other.opening not in (0, first.opening)
    assert (first.answered, later.answered) == (0, 1)
    assert understood(CHAT, messages=[system]).opening == 0


@pytest.mark.parametrize(
    ("prompt", "single"),
    [
        ("text", True),
        ([1, 2, 3], True),
        (["text", "text"], False),
        ([[1, 2], [3]], False),
        ([1, "text"], False),
        ({"prompt_string": "text"}, False),
    ],
)
def test_a_prompt_that_may_be_several_is_told_from_one(prompt: Any, single: bool) -> None:
    assert understood(COMPLETION, prompt=prompt).single is single
    assert understood(LLAMACPP, prompt=prompt).single is single
