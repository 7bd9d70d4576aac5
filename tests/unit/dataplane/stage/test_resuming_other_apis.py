"""Cut answers of OpenAI's responses and of Ollama's own API go on, and are one stream."""

import json
from random import Random
from typing import Any, Literal

import pytest

from penstock.core.snapshot import Models, Resume
from penstock.dataplane.board.layout import P_KEPT_BYTES, P_NOT_RESUMED, P_RESUMED
from penstock.fleet.engine.text import token_ids
from tests.harness.fake.stage import Stage, member
from tests.harness.messages import answer, post
from tests.harness.world import world
from tests.unit.dataplane.stage.emulating import MODEL, PlayedEngine
from tests.unit.dataplane.stage.streaming import HEAD, LAST, Answered, chunk, engines, newest
from tests.unit.dataplane.stage.test_resuming import body_of, counted, not_resumed
from tests.unit.dataplane.stage.watching import Watching, watched

CUTS = 25
LINES = answer("Content-Type: application/x-ndjson", "Transfer-Encoding: chunked", body=b"")
TALK = [{"role": "user", "content": "the water flows"}]
# Path, what is asked, and by which path the rest is.
ASKED: dict[str, tuple[str, dict[str, Any], str]] = {
    "responses": (
        "/v1/responses",
        {
            "input": "of rivers and the water",
            "max_output_tokens": 50,
            "store": False,
            "stream": True,
        },
        "/v1/responses",
    ),
    "responses, items": (
        "/v1/responses",
        {"input": TALK, "instructions": "be brief", "store": False, "stream": True},
        "/v1/responses",
    ),
    "llama.cpp": (
        "/completion",
        {"prompt": "the water flows through the gate", "n_predict": 40, "stream": True},
        "/completion",
    ),
    "sglang": (
        "/generate",
        {
            "text": "the water flows through the gate",
            "sampling_params": {"max_new_tokens": 40, "min_new_tokens": 3},
            "stream": True,
        },
        "/generate",
    ),
    "sglang, its own limit": ("/generate", {"text": "of rivers", "stream": True}, "/generate"),
    "sglang, ids": (
        "/generate",
        {
            "input_ids": token_ids(b"the water flows through the gate"),
            "sampling_params": {"max_new_tokens": 40, "temperature": 0},
            "stream": True,
        },
        "/generate",
    ),
    "ollama chat": (
        "/api/chat",
        {"messages": TALK, "options": {"num_predict": 40, "seed": 1}},
        "/api/chat",
    ),
    "ollama generate": (
        "/api/generate",
        {"prompt": "the water flows", "system": "be brief"},
        "/api/chat",
    ),
    "ollama generate, bounded": (
        "/api/generate",
        {"prompt": "the water flows", "options": {"num_predict": 30}, "stream": True},
        "/api/chat",
    ),
}


def request(path: str, asked: dict[str, Any]) -> bytes:
    data = json.dumps({"model": MODEL, **asked}).encode()
    fields = ("Content-Type: application/json", f"Content-Length: {len(data)}")
    return post(*fields, body=data, target=path)


def told(body: bytes, path: str) -> list[dict[str, Any]]:
    """All events or lines, without when they were made."""
    lines = body.splitlines()
    if not path.startswith("/api"):
        lines = [line[6:] for line in lines if line.startswith(b"data: {")]
    found: list[dict[str, Any]] = [json.loads(line) for line in lines]
    for each in found:
        each.pop("created_at", None)
    return found


BY_IDS = Resume(token_ids=True, exact=True)


@pytest.mark.parametrize(
    ("api", "resume"),
    [*((api, Resume()) for api in ASKED), ("llama.cpp", BY_IDS), ("sglang, ids", BY_IDS)],
)
def test_wherever_an_answer_is_cut_the_client_gets_the_same_events(
    api: str, resume: Resume
) -> None:
    path, asked, rest_path = ASKED[api]
    head = LINES if path.startswith("/api") else HEAD
    rng = Random(api)
    with Stage(world(engines(0, 1, resume=resume))) as stage:
        whole: list[dict[str, Any]] = []
        for number in range(CUTS):
            first, second = PlayedEngine("a"), PlayedEngine("b", created=2)
            client = stage.client(room=1 << 20)
            stage.send(client, request(path, asked))
            answered = Answered(stage, client)
            _, engine, sent = newest(stage)
            events = first.events(path, body_of(sent))
            # Behind the last text an emulated model would say more: it has no token of its own for
            # the end.
            chunks = [chunk(each) for each in events]
            data = b"".join(chunks)
            last = len(data) - len(chunks[-1]) - len(chunks[-2]) + 1
            at = len(data) if number == 0 else rng.randrange(len(chunks[0]), last)
            stage.send(engine, head + data[:at])
            if number == 0:
                stage.send(engine, LAST)
                whole = told(answered.body, path)
                assert answered.complete
                assert len(events) > 10
                client.close()
                stage.settle()
                continue
            engine.reset()
            stage.settle()
            _, engine, sent = newest(stage)
            assert sent.split(b" ")[1].decode() == rest_path
            if resume is BY_IDS:
                rest_asked = json.loads(body_of(sent))
                assert isinstance(rest_asked.get("prompt", rest_asked.get("input_ids"))[-1], int)
            rest = second.events(rest_path, body_of(sent))
            stage.send(engine, head + b"".join(chunk(each) for each in rest) + LAST)
            assert told(answered.body, path) == whole, at
            assert answered.complete
            client.close()
            stage.settle()
        assert counted(stage, P_RESUMED) == CUTS - 1
        assert counted(stage, P_NOT_RESUMED) == 0
        assert counted(stage, P_KEPT_BYTES) == 0
        assert stage.context.prompt_bytes == 0
        assert stage.in_flight() == 0


REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "llama.cpp's gap": ("/infill", {"input_prefix": "x", "input_suffix": "y", "prompt": ""}),
    "its probabilities": ("/completion", {"prompt": "x", "n_probs": 3}),
    "SGLang's grammar": ("/generate", {"text": "x", "sampling_params": {"regex": "a+"}}),
    "its several answers": ("/generate", {"text": "x", "sampling_params": {"n": 2}}),
    "its several texts": ("/generate", {"text": ["x", "y"]}),
    "its pattern": ("/generate", {"text": "x", "sampling_params": {"stop_regex": "a"}}),
    "its log probabilities": ("/generate", {"text": "x", "return_logprob": True}),
    "several prompts of its": ("/completion", {"prompt": ["x", "y"]}),
    "a schema": (
        "/v1/responses",
        {"input": "x", "text": {"format": {"type": "json_schema"}}, "store": False},
    ),
    "a tool that must be called": (
        "/v1/responses",
        {"input": "x", "tool_choice": "required", "store": False},
    ),
    "log probabilities": ("/v1/responses", {"input": "x", "top_logprobs": 2, "store": False}),
    "an answer that one endpoint keeps": (
        "/v1/responses",
        {"input": "x", "previous_response_id": "resp_1", "store": False},
    ),
    "Ollama's form": ("/api/chat", {"messages": TALK, "format": "json"}),
    "its reasoning": ("/api/chat", {"messages": TALK, "think": True}),
    "its context": ("/api/generate", {"prompt": "x", "context": [1]}),
    "its gap": ("/api/generate", {"prompt": "x", "suffix": "y"}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_could_not_be_right_is_cut_as_before(name: str) -> None:
    path, asked = REFUSED[name]
    head = LINES if path.startswith("/api") else HEAD
    with Stage(world(engines(0, 1, resume=Resume()))) as stage:
        client = stage.client(room=1 << 20)
        stage.send(client, request(path, {"stream": True, **asked}))
        _, engine, _ = newest(stage)
        plain = {"model": MODEL, "stream": True, "messages": TALK, "input": "x", "store": False}
        plain["text"] = "the water flows through the gate" if path == "/generate" else None
        played = "/completion" if path == "/infill" else path
        events = PlayedEngine("a").events(played, json.dumps({**plain, "prompt": "x"}).encode())
        stage.send(engine, head + b"".join(chunk(each) for each in events[:3]))
        engine.reset()
        stage.settle()
        assert not Answered(stage, client).complete
        assert not_resumed(stage) == ["request"]
        assert stage.in_flight() == 0


def test_errors_that_ollama_tells_are_cuts() -> None:
    line = {"model": MODEL, "created_at": "x", "message": {"role": "assistant", "content": "one"}}
    with Stage(world(engines(0, 1, resume=Resume()))) as stage:
        client = stage.client(room=1 << 20)
        stage.send(client, request("/api/chat", {"messages": TALK}))
        _, engine, _ = newest(stage)
        first = json.dumps({**line, "done": False}).encode() + b"\n"
        stage.send(engine, LINES + chunk(first))
        stage.send(engine, chunk(b'{"error":"the runner died"}\n') + LAST)
        _, other, sent = newest(stage)
        assert json.loads(body_of(sent))["messages"][-1] == {"role": "assistant", "content": "one"}
        line["message"] = {"role": "assistant", "content": " two"}
        end = {**line, "message": {"role": "assistant", "content": ""}, "done": True}
        end |= {"prompt_eval_count": 7, "eval_count": 1, "done_reason": "stop"}
        second = json.dumps({**line, "done": False}).encode() + b"\n"
        stage.send(other, LINES + chunk(second + json.dumps(end).encode() + b"\n") + LAST)
        answered = Answered(stage, client)
        lines = told(answered.body, "/api/chat")
        assert [each["message"]["content"] for each in lines] == ["one", " two", ""]
        assert (lines[-1]["prompt_eval_count"], lines[-1]["eval_count"]) == (6, 2)
        assert b"runner" not in answered.body


def test_a_tool_that_is_called_behind_the_text_has_a_place_behind_it() -> None:
    path, asked, _ = ASKED["responses"]
    tools = [{"type": "function", "name": "find", "parameters": {}}]
    with Stage(world(engines(0, 1, resume=Resume()))) as stage:
        client = stage.client(room=1 << 20)
        stage.send(client, request(path, {**asked, "tools": tools}))
        _, engine, sent = newest(stage)
        events = PlayedEngine("a").events(path, body_of(sent))
        stage.send(engine, HEAD + b"".join(chunk(each) for each in events[:3]))
        engine.reset()
        stage.settle()
        _, other, sent = newest(stage)
        call = {**json.loads(body_of(sent)), "tool_choice": {"type": "function", "name": "find"}}
        rest = PlayedEngine("b").events(path, json.dumps(call).encode())
        stage.send(other, HEAD + b"".join(chunk(each) for each in rest) + LAST)
        answered = Answered(stage, client)
        found = told(answered.body, path)
        assert [each["sequence_number"] for each in found] == list(range(len(found)))
        text = "".join(each["delta"] for each in found if each["type"].endswith("_text.delta"))
        done = [each for each in found if each["type"] == "response.output_item.done"]
        assert [each["output_index"] for each in done] == [0, 1]
        assert done[0]["item"]["content"][0]["text"] == text
        assert [each["type"] for each in found[-1]["response"]["output"]] == [
            "message",
            "function_call",
        ]
        assert answered.complete


@pytest.mark.parametrize("answers", ["served", "asked"])
def test_an_answer_of_ollamas_that_is_whole_passes_with_what_it_cost(
    answers: Literal["served", "asked"],
) -> None:
    told_whole = {"model": "m", "message": {"role": "assistant", "content": "hi"}, "done": True}
    data = json.dumps({**told_whole, "prompt_eval_count": 7, "eval_count": 2}).encode()
    head = answer("Content-Type: application/json", f"Content-Length: {len(data)}", body=data)
    models = Models(aliases={MODEL: {"m": 1.0}}, answers=answers)
    endpoint = member(0, models=("m",))
    with Stage(world(watched(engines(endpoint, resume=Resume(), models=models)))) as stage:
        client = stage.client(room=1 << 20)
        stage.send(client, request("/api/chat", {"messages": TALK, "stream": False}))
        _, engine, sent = newest(stage)
        assert json.loads(body_of(sent))["model"] == "m"
        stage.send(engine, head)
        answered = Answered(stage, client)
        assert answered.complete
        shown = MODEL if answers == "asked" else "m"
        assert json.loads(answered.body) == {**json.loads(data), "model": shown}
        ticket = Watching.opened[0]
        assert (ticket.prompt_tokens, ticket.output_tokens) == (7, 2)


def test_without_resume_ollamas_answers_pass_unread() -> None:
    with Stage(world(engines(0))) as stage:
        client = stage.client(room=1 << 20)
        stage.send(client, request("/api/chat", {"messages": "of no known form"}))
        _, engine, _ = newest(stage)
        stage.send(engine, LINES + chunk(b'{"half a ') + chunk(b'line"}\n') + LAST)
        assert Answered(stage, client).body == b'{"half a line"}\n'
