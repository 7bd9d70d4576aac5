"""Emulated engines over the wire: OpenAI's API by its own client, dialects, faults."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import openai
import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from penstock.control.engines.dialects import SGLANG_GET_LOAD, SGLANG_LOADS, Dialect
from penstock.fleet.engine.server import EngineServer
from penstock.fleet.engine.spec import DialectName, EngineSpec
from penstock.fleet.faults import FaultCommand, FaultKind, Faults

MODEL = "emulated-model"
Until = Callable[[Callable[[], object]], Awaitable[None]]
Start = Callable[..., Awaitable[EngineServer]]


@pytest_asyncio.fixture
async def start() -> AsyncIterator[Start]:
    """Starts engines a hundred times faster than real ones."""
    started: list[EngineServer] = []

    async def begin(**fields: Any) -> EngineServer:
        server = EngineServer(EngineSpec("engine", **{"speedup": 100.0, **fields}))
        await server.start()
        started.append(server)
        return server

    yield begin
    for server in started:
        await server.stop()


@pytest_asyncio.fixture
async def engine(start: Start) -> EngineServer:
    return await start()


@pytest_asyncio.fixture
async def sdk(engine: EngineServer) -> AsyncIterator[openai.AsyncOpenAI]:
    async with sdk_for(engine) as made:
        yield made


def sdk_for(engine: EngineServer) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(
        base_url=f"{engine.url}/v1", api_key="any", max_retries=0, timeout=20.0
    )


def user(text: str) -> Any:
    return [{"role": "user", "content": text}]


async def metrics_of(client: aiohttp.ClientSession, engine: EngineServer) -> dict[str, float]:
    async with client.get(f"{engine.url}/metrics") as response:
        text = await response.text()
    return {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_a_chat_is_answered_whole_and_in_pieces_alike(sdk: openai.AsyncOpenAI) -> None:
    whole = await sdk.chat.completions.create(model=MODEL, messages=user("hi"), max_tokens=9)
    stream = await sdk.chat.completions.create(
        model=MODEL,
        messages=user("hi"),
        max_tokens=9,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason == whole.choices[0].finish_reason
    assert whole.usage is not None
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert len(chunks) == 1 + whole.usage.completion_tokens + 1


async def test_a_completion_is_answered_whole_and_in_pieces_alike(
    sdk: openai.AsyncOpenAI,
) -> None:
    whole = await sdk.completions.create(model=MODEL, prompt="once upon", max_tokens=5)
    stream = await sdk.completions.create(
        model=MODEL, prompt="once upon", max_tokens=5, stream=True
    )
    text = "".join([chunk.choices[0].text async for chunk in stream])
    assert text == whole.choices[0].text


async def test_the_length_asked_for_is_kept(sdk: openai.AsyncOpenAI) -> None:
    whole = await sdk.chat.completions.create(
        model=MODEL, messages=user("hi"), max_tokens=700, extra_body={"ignore_eos": True}
    )
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 700
    assert whole.choices[0].finish_reason == "length"


async def test_a_tool_that_must_be_called_is_called(sdk: openai.AsyncOpenAI) -> None:
    tools: Any = [{"type": "function", "function": {"name": "look_up", "parameters": {}}}]
    asked: Any = {
        "model": MODEL,
        "messages": user("hi"),
        "tools": tools,
        "tool_choice": "required",
        "max_tokens": 4,
    }
    whole = await sdk.chat.completions.create(**asked)
    calls = whole.choices[0].message.tool_calls
    assert calls is not None
    assert calls[0].type == "function"
    assert calls[0].function.name == "look_up"
    assert whole.choices[0].finish_reason == "tool_calls"
    async with sdk.chat.completions.stream(**asked) as stream:
        final = await stream.get_final_completion()
    streamed = final.choices[0].message.tool_calls
    assert streamed is not None
    assert streamed[0].function.arguments == calls[0].function.arguments


@pytest.mark.parametrize(
    ("path", "fields", "status"),
    [
        ("chat/completions", {"stream": None, "stream_options": {"include_usage": None}}, 200),
        ("chat/completions", {"tools": [5, {"type": "x"}, {"function": {}}]}, 200),
        ("chat/completions", {"tool_choice": {"function": 5}}, 200),
        ("messages", {"stream": None}, 200),
        ("embeddings", {"input": [[1, "a"]]}, 400),
        ("embeddings", {"input": [1, 2, 3]}, 200),
    ],
)
async def test_odd_fields_are_passed_over_or_refused(
    engine: EngineServer, client: aiohttp.ClientSession, path: str, fields: Any, status: int
) -> None:
    body = {"model": MODEL, "messages": user("hi"), "max_tokens": 1, **fields}
    async with client.post(f"{engine.url}/v1/{path}", json=body) as response:
        assert response.status == status, await response.text()
        assert response.content_type == "application/json"


async def test_embeddings_are_the_same_for_the_same_text(sdk: openai.AsyncOpenAI) -> None:
    answer = await sdk.embeddings.create(model=MODEL, input=["a", "b", "a"])
    first, second, third = (item.embedding for item in answer.data)
    assert first == third
    assert first != second


async def test_models_list_the_base_and_its_adapters(start: Start) -> None:
    async with sdk_for(await start(adapters=("poet",))) as sdk:
        listed = [model.id async for model in sdk.models.list()]
        assert listed == [MODEL, "poet"]
        await sdk.completions.create(model="poet", prompt="a", max_tokens=1)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"model": "unknown"}, openai.NotFoundError),
        ({"max_tokens": 0}, openai.BadRequestError),
        ({"max_tokens": 10_000_000}, openai.BadRequestError),
        ({"n": 2}, openai.BadRequestError),
        ({"messages": []}, openai.BadRequestError),
        ({"messages": "hi"}, openai.BadRequestError),
    ],
)
async def test_what_an_engine_cannot_do_is_refused_as_engines_do(
    sdk: openai.AsyncOpenAI, fields: dict[str, Any], error: type[openai.APIStatusError]
) -> None:
    with pytest.raises(error):
        await sdk.chat.completions.create(**{"model": MODEL, "messages": user("hi"), **fields})


async def test_a_prompt_that_never_fits_the_cache_is_refused(start: Start) -> None:
    async with sdk_for(await start(kv_tokens=1024)) as sdk:
        with pytest.raises(openai.BadRequestError, match="do not fit"):
            await sdk.completions.create(model=MODEL, prompt="word" * 2000, max_tokens=1)


async def test_a_conversation_that_goes_on_finds_its_past_in_the_cache(
    sdk: openai.AsyncOpenAI,
) -> None:
    messages = user("tell me " * 60)
    first = await sdk.chat.completions.create(model=MODEL, messages=messages, max_tokens=40)
    assert first.usage is not None
    messages.append({"role": "assistant", "content": first.choices[0].message.content})
    messages += user("and then?")
    second = await sdk.chat.completions.create(model=MODEL, messages=messages, max_tokens=1)
    assert second.usage is not None
    assert first.usage.prompt_tokens_details is not None
    assert second.usage.prompt_tokens_details is not None
    assert first.usage.prompt_tokens_details.cached_tokens == 0
    # All but the last token of the answer, which was never computed, in whole blocks of 16.
    known = first.usage.total_tokens - 1
    assert second.usage.prompt_tokens_details.cached_tokens == known // 16 * 16


async def test_http_1_0_clients_get_a_stream_that_ends_with_the_connection(
    engine: EngineServer,
) -> None:
    reader, writer = await asyncio.open_connection(engine.host, engine.port)
    body = b'{"prompt": "a", "max_tokens": 2, "stream": true}'
    writer.write(
        b"POST /v1/completions HTTP/1.0\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    async with asyncio.timeout(20):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    head, _, events = answer.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head.lower()
    assert events.startswith(b"data: {")
    assert events.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_frees_its_slot(
    start: Start, until: Until, stream: bool
) -> None:
    engine = await start(speedup=1.0)
    body = {"prompt": "a", "max_tokens": 5000, "ignore_eos": True, "stream": stream}
    async with aiohttp.ClientSession() as client:

        async def ask() -> None:
            async with client.post(f"{engine.url}/v1/completions", json=body) as response:
                await response.read()

        asking = asyncio.create_task(ask())
        await until(lambda: engine.load().running == 1)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    await until(lambda: engine.load().running == 0)


async def test_vllm_reports_its_load_under_its_own_names(
    engine: EngineServer, sdk: openai.AsyncOpenAI, client: aiohttp.ClientSession
) -> None:
    await sdk.completions.create(model=MODEL, prompt="a" * 400, max_tokens=10)
    metrics = await metrics_of(client, engine)
    assert metrics["vllm:num_requests_running"] == 0
    assert metrics["vllm:prompt_tokens_total"] == 100
    assert metrics["vllm:generation_tokens_total"] == 10
    assert metrics["vllm:time_to_first_token_seconds_count"] == 1
    assert metrics["vllm:inter_token_latency_seconds_count"] == 9
    async with client.get(f"{engine.url}/load") as response:
        assert await response.json() == {"server_load": 0}
    async with client.post(f"{engine.url}/tokenize", json={"prompt": "abcdefgh"}) as response:
        assert (await response.json())["count"] == 2


@pytest.mark.parametrize(("form", "begins"), [("TEXT", "TEXT named_metrics."), ("json", "JSON {")])
async def test_vllm_reports_its_load_in_a_header_when_asked(
    engine: EngineServer, client: aiohttp.ClientSession, form: str, begins: str
) -> None:
    async with client.post(
        f"{engine.url}/v1/completions",
        json={"prompt": "a", "max_tokens": 1},
        headers={"endpoint-load-metrics-format": form},
    ) as response:
        report = response.headers["endpoint-load-metrics"]
    assert report.startswith(begins)
    assert "kv_cache_usage_perc" in report


@pytest.mark.parametrize(
    ("dialect", "paths", "metric"),
    [
        ("vllm", ["/health", "/version"], "vllm:kv_cache_usage_perc"),
        (
            "sglang",
            ["/health_generate", "/server_info", "/get_load", "/v1/loads", "/get_model_info"],
            "sglang:token_usage",
        ),
        ("tgi", ["/health", "/info"], "tgi_queue_size"),
        ("llamacpp", ["/health", "/props", "/slots"], "llamacpp:requests_deferred"),
    ],
)
async def test_each_kind_of_engine_has_its_paths_and_metrics(
    start: Start,
    client: aiohttp.ClientSession,
    dialect: DialectName,
    paths: list[str],
    metric: str,
) -> None:
    engine = await start(dialect=dialect)
    for path in paths:
        async with client.get(engine.url + path) as response:
            assert response.status == 200, path
    assert metric in await metrics_of(client, engine)


@pytest.mark.parametrize("dialect", [SGLANG_LOADS, SGLANG_GET_LOAD])
async def test_sglang_tells_its_load_beside_its_metrics(
    start: Start, client: aiohttp.ClientSession, until: Until, dialect: Dialect
) -> None:
    engine = await start(dialect="sglang", max_sequences=2, speedup=1.0)
    body = {"prompt": "a", "max_tokens": 5000, "ignore_eos": True, "stream": True}
    url = f"{engine.url}/v1/completions"
    async with (
        client.post(url, json=body),
        client.post(url, json=body),
        client.post(url, json=body),
    ):
        await until(lambda: (engine.load().running, engine.load().waiting) == (2, 1))
        async with client.get(engine.url + dialect.path) as response:
            reading = dialect.read(await response.read())
        assert (reading.running, reading.waiting) == (2, 1)


async def test_llama_cpp_says_when_no_slot_is_free(
    start: Start, client: aiohttp.ClientSession, until: Until
) -> None:
    engine = await start(dialect="llamacpp", max_sequences=1, speedup=1.0)
    url = f"{engine.url}/slots?fail_on_no_slot=1"
    async with client.get(url) as response:
        assert response.status == 200
    body = {"prompt": "a", "max_tokens": 5000, "ignore_eos": True, "stream": True}
    async with client.post(f"{engine.url}/v1/completions", json=body):
        await until(lambda: engine.load().running == 1)
        async with client.get(url) as response:
            assert response.status == 503


async def test_metrics_lie_when_told_to_and_only_they(
    engine: EngineServer, client: aiohttp.ClientSession
) -> None:
    await engine.apply(FaultCommand("lie", reported={"running": 40, "kv_usage": 0.5}))
    metrics = await metrics_of(client, engine)
    assert metrics["vllm:num_requests_running"] == 40
    assert metrics["vllm:kv_cache_usage_perc"] == pytest.approx(0.5, abs=0.001)
    assert engine.load().running == 0
    with pytest.raises(ValueError, match="reports no happiness"):
        await engine.apply(FaultCommand("lie", reported={"happiness": 1.0}))


async def test_streams_stall_in_the_middle_and_go_on(
    start: Start, client: aiohttp.ClientSession, until: Until
) -> None:
    engine = await start(speedup=1.0)
    body = {"prompt": "a", "max_tokens": 5000, "ignore_eos": True, "stream": True}
    async with client.post(f"{engine.url}/v1/completions", json=body) as response:
        await response.content.readuntil(b"\n\n")
        await engine.apply(FaultCommand("stall-streams"))
        before = engine.load().output_tokens_total
        async with client.get(f"{engine.url}/health") as health:
            assert health.status == 200
        assert engine.load().output_tokens_total == before
        await engine.apply(FaultCommand("none"))
        await until(lambda: engine.load().output_tokens_total > before)


async def test_streams_that_stalled_come_to_their_end(
    engine: EngineServer, client: aiohttp.ClientSession
) -> None:
    await engine.apply(FaultCommand("stall-streams"))
    body = {"prompt": "a", "max_tokens": 20, "ignore_eos": True, "stream": True}
    async with client.post(f"{engine.url}/v1/completions", json=body) as response:
        assert engine.load().output_tokens_total == 0
        await engine.apply(FaultCommand("none"))
        assert (await response.content.read()).endswith(b"data: [DONE]\n\n")


async def test_a_restart_loses_the_cache_and_keeps_the_port(
    engine: EngineServer, sdk: openai.AsyncOpenAI, until: Until
) -> None:
    url = engine.url
    asked: Any = {"model": MODEL, "prompt": "b" * 640, "max_tokens": 1}
    await sdk.completions.create(**asked)
    await engine.apply(FaultCommand("restart"))
    await until(lambda: engine.faults.listening())
    assert engine.url == url
    answer = await sdk.with_options(max_retries=3).completions.create(**asked)
    assert answer.usage is not None
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 0


@pytest.mark.parametrize("between", ["none", "refuse", "stall", "stall-streams", "error", "lie"])
async def test_a_restart_brings_back_what_died_cold_and_without_faults(
    start: Start, client: aiohttp.ClientSession, until: Until, between: FaultKind
) -> None:
    engine = await start(speedup=1.0)
    prompt = {"prompt": "a" * 640}
    running = {**prompt, "max_tokens": 5000, "ignore_eos": True, "stream": True}
    async with client.post(f"{engine.url}/v1/completions", json=running) as response:
        await response.content.readuntil(b"\n\n")
        if between != "none":
            await engine.apply(FaultCommand(between, status=500))
        await engine.apply(FaultCommand("die"))
        await engine.apply(FaultCommand("restart"))
        await until(lambda: not engine.faults.dead)
    assert engine.faults == Faults()
    assert engine.load().running == 0
    body = {**prompt, "max_tokens": 1}
    async with client.post(f"{engine.url}/v1/completions", json=body) as response:
        usage = (await response.json())["usage"]
    assert usage["prompt_tokens_details"]["cached_tokens"] == 0


async def test_the_latter_of_two_faults_says_how_long(engine: EngineServer, until: Until) -> None:
    await engine.apply(FaultCommand("restart", for_s=0.01))
    await engine.apply(FaultCommand("die"))  # until told
    await engine.apply(FaultCommand("slow", for_s=0.02))
    await until(lambda: engine.faults.slow_factor == 1.0)  # that its time is over shows the other's
    assert engine.faults.dead
    await engine.apply(FaultCommand("restart", for_s=0.01))
    await until(lambda: not engine.faults.dead)


async def test_dying_cuts_streams_and_the_engine_comes_back_cold(
    start: Start, client: aiohttp.ClientSession
) -> None:
    engine = await start(speedup=1.0)
    body = {"prompt": "a" * 640, "max_tokens": 5000, "ignore_eos": True, "stream": True}
    async with client.post(f"{engine.url}/v1/completions", json=body) as response:
        await response.content.readuntil(b"\n\n")
        await engine.apply(FaultCommand("die"))
        with pytest.raises(aiohttp.ClientError):
            await response.content.read()
    await engine.apply(FaultCommand("none"))
    assert engine.load().running == 0
    body = {"prompt": "a" * 640, "max_tokens": 1}
    async with client.post(f"{engine.url}/v1/completions", json=body) as response:
        usage = (await response.json())["usage"]
    assert usage["prompt_tokens_details"]["cached_tokens"] == 0


async def test_tgi_answers_its_own_paths(start: Start, client: aiohttp.ClientSession) -> None:
    """Tokens of a stream are numbered, and the last brings the whole text."""
    engine = await start(dialect="tgi")
    asked = {"inputs": "once upon a time", "parameters": {"max_new_tokens": 12}}
    async with client.post(f"{engine.url}/generate", json=asked) as response:
        whole = await response.json()
    async with client.post(f"{engine.url}/generate_stream", json=asked) as response:
        events = [json.loads(line[5:]) for line in (await response.text()).split("\n\n")[:-1]]
    assert [event["index"] for event in events] == list(range(1, len(events) + 1))
    assert "".join(event["token"]["text"] for event in events) == whole["generated_text"]
    assert events[-1]["generated_text"] == whole["generated_text"]
    async with client.post(f"{engine.url}/generate", json={"inputs": 1}) as response:
        assert response.status == 422
        assert (await response.json())["error_type"] == "validation"


async def test_ollama_has_no_metrics(start: Start, client: aiohttp.ClientSession) -> None:
    engine = await start(dialect="ollama")
    async with client.get(f"{engine.url}/metrics") as response:
        assert response.status == 404
