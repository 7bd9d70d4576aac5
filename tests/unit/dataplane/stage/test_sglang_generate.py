"""SGLang's ``/generate`` is routed by its prompt, counted for limits, and gone on with."""

import json
from typing import Any

import msgspec

from penstock.core.snapshot import Resume
from penstock.dataplane.board.layout import P_RESUMED
from tests.harness.fake.stage import Stage, pool_of
from tests.harness.messages import answer, answer_of, post
from tests.harness.world import world
from tests.unit.dataplane.stage.emulating import PlayedEngine
from tests.unit.dataplane.stage.streaming import HEAD, LAST, Answered, chunk, engines, newest
from tests.unit.dataplane.stage.test_limits import KEY, Supervisor, budget, keyed
from tests.unit.dataplane.stage.test_resuming import body_of, counted

PROMPT = "the water flows through the gate"


def request(*lines: str, **asked: Any) -> bytes:
    data = json.dumps({"text": PROMPT, **asked}).encode()
    fields = ("Content-Type: application/json", f"Content-Length: {len(data)}", *lines)
    return post(*fields, body=data, target="/generate")


def whole(prompt: int, output: int) -> bytes:
    meta = {"id": "r", "finish_reason": {"type": "stop"}, "cached_tokens": 0}
    counts = {"prompt_tokens": prompt, "completion_tokens": output}
    told = {"text": "x", "output_ids": [1], "meta_info": {**meta, **counts}}
    data = json.dumps(told).encode()
    fields = ("Content-Type: application/json", f"Content-Length: {len(data)}")
    return answer(*fields, body=data)


def test_its_tokens_are_reserved_and_settled() -> None:
    with Stage(keyed(budget("tokens", 300.0))) as stage:
        owner = Supervisor(stage)
        client = stage.client()
        stage.send(client, request(KEY, sampling_params={"max_new_tokens": 50}))
        stage.send(newest(stage)[1], whole(30, 40))
        assert stage.received(client).startswith(b"HTTP/1.1 200")
        assert owner.spent("it") == 70.0
        stage.send(client, request(KEY, sampling_params={"max_new_tokens": 5000}))
        assert stage.received(client).startswith(b"HTTP/1.1 429")


def test_tokens_of_a_stream_count_by_what_its_last_event_tells() -> None:
    with Stage(keyed(budget("tokens", 1e6))) as stage:
        owner = Supervisor(stage)
        client = stage.client(room=1 << 20)
        stage.send(client, request(KEY, stream=True, sampling_params={"max_new_tokens": 20}))
        _, engine, sent = newest(stage)
        events = PlayedEngine("a").events("/generate", body_of(sent))
        stage.send(engine, HEAD + b"".join(chunk(each) for each in events) + LAST)
        assert Answered(stage, client).complete
        counts = json.loads(events[-2][6:])["meta_info"]
        assert owner.spent("it") == counts["prompt_tokens"] + counts["completion_tokens"]


def test_prompts_that_begin_alike_go_to_one_endpoint() -> None:
    pool = pool_of(0, 1, 2, kind="llm")
    policy = msgspec.structs.replace(pool.policy, name="prefix-sticky")
    with Stage(world(msgspec.structs.replace(pool, policy=policy))) as stage:
        rows = set()
        for number in range(6):
            client = stage.client()
            stage.send(client, request(text=PROMPT * 40 + str(number)))
            row, engine, _ = newest(stage)
            rows.add(row)
            stage.send(engine, whole(30, 1))
            client.close()
            stage.settle()
        assert len(rows) == 1


def test_a_body_of_another_engine_passes_as_before() -> None:
    with Stage(world(engines(0, 1, resume=Resume()))) as stage:
        client = stage.client()
        body = b'{"inputs": "x", "parameters": {}}'
        fields = ("Content-Type: application/json", f"Content-Length: {len(body)}")
        stage.send(client, post(*fields, body=body, target="/generate"))
        _, engine, sent = newest(stage)
        assert body_of(sent) == body
        stage.send(engine, answer_of(b"{}"))
        assert stage.received(client).startswith(b"HTTP/1.1 200")


def test_one_that_its_engine_gives_up_goes_on_elsewhere() -> None:
    with Stage(world(engines(0, 1, resume=Resume()))) as stage:
        client = stage.client(room=1 << 20)
        stage.send(client, request(stream=True))
        answered = Answered(stage, client)
        _, engine, sent = newest(stage)
        events = PlayedEngine("a").events("/generate", body_of(sent))
        aborted = json.loads(events[4][6:])
        aborted["meta_info"]["finish_reason"] = {"type": "abort", "message": "shutting down"}
        events[4] = b"data: " + json.dumps(aborted).encode() + b"\n\n"
        stage.send(engine, HEAD + b"".join(chunk(each) for each in events[:5]))
        stage.send(engine, LAST)
        _, other, sent = newest(stage)
        rest = PlayedEngine("b").events("/generate", body_of(sent))
        stage.send(other, HEAD + b"".join(chunk(each) for each in rest) + LAST)
        assert answered.complete
        assert b"abort" not in answered.body
        told = [json.loads(each[6:]) for each in answered.body.split(b"\n\n") if b"{" in each]
        assert [each["meta_info"]["completion_tokens"] for each in told] == list(
            range(1, len(told) + 1)
        )
        assert all(len(each["output_ids"]) == at + 1 for at, each in enumerate(told))
        assert counted(stage, P_RESUMED) == 1
