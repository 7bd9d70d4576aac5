"""Cut answers go on by token ids, which each kind of engine tells in its own way."""

from random import Random
from typing import Any

import pytest

from penstock.core.snapshot import Resume
from penstock.dataplane.board.layout import P_KEPT_BYTES, P_RESUMED
from penstock.wire.engines import engine_dialects
from tests.harness.fake.stage import Stage
from tests.harness.fake.stream import End
from tests.harness.messages import answer
from tests.harness.world import world
from tests.unit.dataplane.stage.emulating import PlayedEngine
from tests.unit.dataplane.stage.streaming import HEAD, LAST, Answered, chunk, engines, newest
from tests.unit.dataplane.stage.test_resuming import asked, body_of, counted, not_resumed

CUTS = 12
SHORT = 4  # events of a stream that is not cut again
EXACT = Resume(token_ids=True, exact=True)
REFUSAL = answer(
    "Content-Type: application/json", "Content-Length: 2", status="400 Bad Request", body=b"{}"
)
TEMPLATE = "/apply-template"


def told_ways(stage: Stage, dialect: str) -> None:
    """As if the engines had been recognised."""
    for endpoint in stage.pool().members:
        endpoint.habits.ids.way = engine_dialects()[dialect].ids_way


def path_of(request: bytes) -> str:
    return request.split(b" ")[1].decode()


def whole_answer(data: bytes) -> bytes:
    return answer("Content-Type: application/json", f"Content-Length: {len(data)}", body=data)


def asked_engine(stage: Stage, played: PlayedEngine) -> tuple[End, bytes]:
    """Who has a request for an answer: what else it is asked, or does not take, comes before."""
    while True:
        _, engine, sent = newest(stage)
        if path_of(sent) == TEMPLATE:
            stage.send(engine, whole_answer(played.template(body_of(sent))))
        elif played.takes(path_of(sent), body_of(sent)):
            return engine, sent
        else:
            stage.send(engine, REFUSAL)


@pytest.mark.parametrize("more", [{}, {"stream_options": {"include_usage": True}}])
@pytest.mark.parametrize(
    ("dialect", "api"),
    [
        ("vllm", "chat"),
        ("vllm", "completion"),
        ("sglang", "completion"),
        ("llamacpp", "chat"),
        ("llamacpp", "completion"),
    ],
)
def test_wherever_an_answer_is_cut_the_rest_is_exact(
    dialect: str, api: str, more: dict[str, Any]
) -> None:
    rng = Random(f"{dialect} {api}")
    request = asked(api, temperature=0, max_tokens=60, **more)
    with Stage(world(engines(0, 1, 2, resume=EXACT, usage="hidden"))) as stage:
        told_ways(stage, dialect)
        whole = b""
        for number in range(CUTS):
            played = [PlayedEngine(name, made, dialect) for made, name in enumerate("abc", 1)]
            client = stage.client(room=1 << 20)
            stage.send(client, request)
            answered = Answered(stage, client)
            for each in played:
                engine, sent = asked_engine(stage, each)
                chunks = [chunk(event) for event in each.events(path_of(sent), body_of(sent))]
                data = b"".join(chunks)
                if number == 0 or each is played[-1] or len(chunks) < SHORT:
                    stage.send(engine, HEAD + data + LAST)
                    break
                # Before the last text: then nothing but its end is missing, which is not asked for.
                last = len(data) - len(chunks[-1]) - len(chunks[-2]) + 1
                stage.send(engine, HEAD + data[: rng.randrange(len(chunks[0]), last)])
                engine.reset()
                stage.settle()
            whole = whole or answered.body
            assert answered.body == whole
            assert answered.complete
            for hidden in (b"token_ids", b'"logprobs":{', b'"top_logprobs"'):
                assert hidden not in answered.body
            client.close()
            stage.settle()
        assert counted(stage, P_RESUMED) >= CUTS
        assert counted(stage, P_KEPT_BYTES) == 0
        assert stage.in_flight() == 0


def test_an_engine_that_refuses_to_tell_ids_is_asked_without_and_not_again() -> None:
    """SGLang, in streamed chats; and any that takes no field that it does not know."""
    request = asked("chat", max_tokens=60)
    with Stage(world(engines(0, 1, resume=Resume(token_ids=True)))) as stage:
        told_ways(stage, "sglang")
        played = PlayedEngine("a", 1, "sglang")
        wishes: list[bool] = []
        for _ in range(4):
            client = stage.client(room=1 << 20)
            stage.send(client, request)
            _, engine, sent = newest(stage)
            wishes.append(played.takes(path_of(sent), body_of(sent)))
            if not wishes[-1]:
                stage.send(engine, REFUSAL)
                _, engine, sent = newest(stage)
            events = played.events(path_of(sent), body_of(sent))
            stage.send(engine, HEAD + b"".join(chunk(each) for each in events[:4]))
            engine.reset()
            stage.settle()
            _, other, sent = newest(stage)
            rest = played.events(path_of(sent), body_of(sent))
            assert played.asked[-1]["continue_final_message"] is True
            stage.send(other, HEAD + b"".join(chunk(each) for each in rest) + LAST)
            assert Answered(stage, client).complete
            client.close()
            stage.settle()
        assert not wishes[0]
        assert wishes.count(False) <= len(stage.servers)  # each says so once


def test_an_engine_that_has_no_way_to_tell_ids_is_not_asked() -> None:
    with Stage(world(engines(0, 1, resume=EXACT))) as stage:
        told_ways(stage, "tgi")
        client = stage.client(room=1 << 20)
        stage.send(client, asked("chat", max_tokens=60))
        _, engine, sent = newest(stage)
        assert b"return_token_ids" not in sent
        assert b"logprobs" not in sent
        events = PlayedEngine("a").events(path_of(sent), body_of(sent))
        stage.send(engine, HEAD + b"".join(chunk(each) for each in events[:4]))
        engine.reset()
        stage.settle()
        assert not_resumed(stage) == ["exact"]


@pytest.mark.parametrize("told", [b"{}", b"no JSON", b'{"prompt": 1}'])
def test_without_the_prompt_of_a_chat_another_engine_is_asked_for_it(told: bytes) -> None:
    with Stage(world(engines(0, 1, 2, resume=EXACT))) as stage:
        told_ways(stage, "llamacpp")
        client = stage.client(room=1 << 20)
        stage.send(client, asked("chat", max_tokens=60))
        played = PlayedEngine("a", 1, "llamacpp")
        _, engine, sent = newest(stage)
        events = played.events(path_of(sent), body_of(sent))
        stage.send(engine, HEAD + b"".join(chunk(each) for each in events[:4]))
        engine.reset()
        stage.settle()
        _, other, sent = newest(stage)
        assert path_of(sent) == TEMPLATE
        stage.send(other, whole_answer(told))
        _, third, sent = newest(stage)
        assert path_of(sent) == TEMPLATE
        stage.send(third, whole_answer(played.template(body_of(sent))))
        _, third, sent = newest(stage)
        rest = played.events(path_of(sent), body_of(sent))
        stage.send(third, HEAD + b"".join(chunk(each) for each in rest) + LAST)
        assert Answered(stage, client).complete
        assert stage.in_flight() == 0


def test_ids_for_which_the_balancer_asked_stay_hidden_though_a_reload_ends_resuming() -> None:
    """By chance (``tests/whole``): what the request had asked for passed to its client."""
    with Stage(world(engines(0, 1, resume=Resume(token_ids=True)))) as stage:
        client = stage.client(room=1 << 20)
        stage.send(client, asked("chat", max_tokens=60))
        _, engine, sent = newest(stage)
        assert b"return_token_ids" in sent
        stage.apply(world(engines(0, 1)))
        events = PlayedEngine("a").events(path_of(sent), body_of(sent))
        stage.send(engine, HEAD + b"".join(chunk(each) for each in events) + LAST)
        answered = Answered(stage, client)
        assert answered.complete
        assert b"token_ids" not in answered.body
