"""What each kind of engine answers and reports besides OpenAI's API."""

import json

import aiohttp
import openai
import pytest

from penstock.fleet.engine.dialect import dialect_named, emulated_dialects
from penstock.fleet.engine.server import EngineServer
from penstock.wire.engines import engine_dialects
from penstock.wire.engines.dialect import EngineDialect
from penstock.wire.engines.sglang import GET_LOAD, LOADS
from tests.unit.fleet.conftest import Until
from tests.unit.fleet.engine.asking import MODEL, Start, metrics_of


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


def test_what_is_emulated_is_an_engine_that_can_be_read() -> None:
    assert emulated_dialects().keys() <= engine_dialects().keys()


def test_an_engine_that_is_not_emulated_is_refused_with_those_that_are() -> None:
    with pytest.raises(ValueError, match="no engine 'triton' is emulated; there are llamacpp, "):
        dialect_named("triton")


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
    dialect: str,
    paths: list[str],
    metric: str,
) -> None:
    engine = await start(dialect=dialect)
    for path in paths:
        async with client.get(engine.url + path) as response:
            assert response.status == 200, path
    assert metric in await metrics_of(client, engine)


@pytest.mark.parametrize("dialect", [LOADS, GET_LOAD])
async def test_sglang_tells_its_load_beside_its_metrics(
    start: Start, client: aiohttp.ClientSession, until: Until, dialect: EngineDialect
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
