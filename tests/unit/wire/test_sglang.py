"""SGLang's own API: what is read of its requests and answers, and how the rest is asked for."""

import json
from typing import Any

import pytest

from penstock.wire.api_paths import api_of
from penstock.wire.openai import OTHER, SGLANG, inspect
from penstock.wire.resume.forms import resumption_of
from penstock.wire.resume.sglang import GenerateResumption, GenerateText
from penstock.wire.sglang_events import GenerateMeter


def event(text: str, ids: list[int] | None, count: int, **meta: Any) -> bytes:
    told = {"id": "r1", "finish_reason": None, "prompt_tokens": 7, "completion_tokens": count}
    body: dict[str, Any] = {"text": text, "meta_info": {**told, **meta}}
    if ids is not None:
        body["output_ids"] = ids
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def asked(**fields: Any) -> bytes:
    return json.dumps({"text": "once upon a time", "stream": True, **fields}).encode()


@pytest.mark.parametrize(
    ("path", "api"),
    [
        (b"/generate", SGLANG),
        (b"/engine/generate?x=1", SGLANG),
        (b"/api/generate", OTHER),
        (b"/generate_stream", OTHER),
    ],
)
def test_its_path_is_not_that_of_others(path: bytes, api: int) -> None:
    assert api_of(path) == api


def test_a_request_tells_its_prompt_and_its_bounds() -> None:
    found = inspect(SGLANG, asked(text="x" * 1000, sampling_params={"max_new_tokens": 9, "n": 2}))
    assert (found.api, found.problem, found.stream) == (SGLANG, "", True)
    assert (found.output_limit, found.choices, found.prompt_tokens) == (9, 2, -1)
    longer = inspect(SGLANG, asked(text="x" * 2000))
    assert found.blocks[0] == longer.blocks[0]
    assert longer.output_limit == 128  # its own, where a request does not say
    ids = inspect(SGLANG, json.dumps({"input_ids": [1, 2, 3]}).encode())
    assert (ids.prompt_tokens, ids.single, ids.stays) == (3, True, False)
    assert not inspect(SGLANG, asked(text=["x", "y"])).single
    kept = inspect(SGLANG, asked(session_params={"id": "s1"}))
    assert kept.stays
    assert kept.session_hash


@pytest.mark.parametrize("body", [{"inputs": "x"}, {"prompt": "x"}, {"text": None}, {}])
def test_a_body_of_another_engine_is_not_taken_for_its_own(body: dict[str, Any]) -> None:
    found = inspect(SGLANG, json.dumps({**body, "model": "m"}).encode())
    assert (found.api, found.model) == (OTHER, "m")


def test_fields_between_engines_are_found() -> None:
    assert inspect(SGLANG, asked(bootstrap_host="x")).transfer == "bootstrap_host"
    assert inspect(SGLANG, b'{"inputs": "x", "bootstrap_room": 1}').transfer == "bootstrap_room"


def test_answers_tell_usage_and_end() -> None:
    meter = GenerateMeter()
    meter.feed(event("a", [1], 1) + event("ab", [1, 2], 2))
    assert (meter.begun, meter.events, meter.output_tokens) == (True, 2, -1)
    end = {"type": "length", "length": 3}
    meter.feed(event("abc", [1, 2, 3], 3, finish_reason=end, cached_tokens=4) + b"data: [DONE]\n\n")
    assert (meter.prompt_tokens, meter.output_tokens, meter.cached_tokens) == (7, 3, 4)
    assert (meter.finish_reason, meter.done) == ("length", True)
    whole = GenerateMeter()
    one = json.loads(event("abc", [1, 2, 3], 3, finish_reason=end)[6:])
    whole.read(json.dumps([one, one]).encode())
    assert (whole.prompt_tokens, whole.output_tokens) == (14, 6)
    nonsense = b'{"meta_info": {"prompt_tokens": -1}}'
    for broken in (b"{", b"[]", b"[1]", b'{"meta_info": 1}', nonsense):
        whole.read(broken)
    assert whole.output_tokens == 6


def test_answers_that_failed_say_so() -> None:
    aborted = GenerateMeter()
    aborted.feed(event("a", [1], 1, finish_reason={"type": "abort", "message": "out of memory"}))
    assert (aborted.finish_reason, aborted.failure) == ("error", "out of memory")
    failed = GenerateMeter()
    failed.feed(b'data: {"error": {"message": "too long"}}\n\n')
    assert failed.failure == "too long"


def kept(*events: bytes) -> GenerateText:
    text = GenerateText(SGLANG)
    for each in events:
        text.take(each)
    return text


def test_what_came_so_far_is_in_the_last_event() -> None:
    text = kept(event("a", [1], 1), event("a b", [1, 2, 3], 3))
    assert (text.text(), text.ids(), text.tokens, text.problem) == ("a b", [1, 2, 3], 3, "")
    assert kept(event("a b", None, 3)).ids() == []  # of older builds


@pytest.mark.parametrize(
    "events",
    [
        (event("a", [1], 1), event(" b", [2], 2)),  # each tells what is new
        (b"data: {}\n\n",),
        (b"data: [1]\n\n",),
        (event("a", [1], 1).replace(b'"text"', b'"index": 1, "text"'),),
    ],
)
def test_what_does_not_tell_all_is_not_gone_on_with(events: tuple[bytes, ...]) -> None:
    text = kept(*events)
    text.look()
    assert text.problem


def rest_of(body: bytes) -> GenerateResumption:
    made = resumption_of(SGLANG, body)
    assert isinstance(made, GenerateResumption)
    return made


def test_the_rest_is_asked_for_behind_the_prompt_and_is_shorter() -> None:
    sampling = {"max_new_tokens": 10, "min_new_tokens": 2, "temperature": 0}
    rest = json.loads(rest_of(asked(sampling_params=sampling)).body_for(" there was", 4))
    assert rest["text"] == "once upon a time there was"
    assert rest["sampling_params"] == {"max_new_tokens": 6, "min_new_tokens": 0, "temperature": 0}
    assert (
        json.loads(rest_of(asked()).body_for("x", 28))["sampling_params"]["max_new_tokens"] == 100
    )
    ids = json.dumps({"input_ids": [1, 2], "sampling_params": sampling}).encode()
    assert json.loads(rest_of(ids).by_ids([], [3, 4], 0))["input_ids"] == [1, 2, 3, 4]
    assert rest_of(asked()).by_ids([], [3], 0) == b""
    assert rest_of(ids).body_for("x", 1) == b""
    full = rest_of(asked(sampling_params=sampling))
    assert full.body_for("x", 10) == b""
    assert full.problem


@pytest.mark.parametrize(
    "sampling",
    [
        {"repetition_penalty": 1.1},
        {"presence_penalty": 0.5},
        {"stop": "x"},
        {"sampling_seed": 1, "temperature": 0.7},
    ],
)
def test_what_would_not_be_the_same_is_not_exact(sampling: dict[str, Any]) -> None:
    assert rest_of(asked(sampling_params=sampling)).why_not_exact()
    assert not rest_of(asked(sampling_params={"repetition_penalty": 1})).why_not_exact()


def test_a_stop_string_half_seen_is_found() -> None:
    assert rest_of(asked(sampling_params={"stop": ["END"]})).half_stop("the EN")
    assert not rest_of(asked(sampling_params={"stop": ["END"]})).half_stop("the")
