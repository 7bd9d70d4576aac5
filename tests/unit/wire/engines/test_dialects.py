"""Every engine is told by what its metrics are called, and read in the same terms."""

import json
from importlib import import_module

import pytest

from penstock.wire.engines import engine_dialects
from penstock.wire.engines.dialect import EngineDialect
from penstock.wire.engines.generic import generic
from penstock.wire.engines.llamacpp import SLOTS
from penstock.wire.engines.reading import Reading, UnreadableError
from penstock.wire.engines.recognition import places, recognised
from penstock.wire.engines.sglang import GET_LOAD, LOADS
from tests.unit.wire.engines import expositions

DIALECTS = engine_dialects()
READINGS = {
    "vllm": (
        expositions.VLLM,
        Reading(10, 2, 0.375, 24_000, 1200, 800, ["sql", "law"]),
    ),
    "vllm, older": (expositions.VLLM_OLDER, Reading(1, 0, 0.125, -1, 10, 5)),
    "sglang": (expositions.SGLANG, Reading(5, 1, 0.2, 128_000, 500, 250)),
    "sglang, underscore": (expositions.SGLANG_UNDERSCORE, Reading(5, 1, 0.2, 1000)),
    "sglang, of several ranks": (
        expositions.SGLANG_RANKS,
        Reading(7, 2, 0.375, 2000, 600, 0),
    ),
    "sglang, of attention ranks": (expositions.SGLANG_ATTENTION_RANKS, Reading(4, 0)),
    "vllm, hybrid": (expositions.VLLM_HYBRID, Reading(1, 0, -1, 463_459)),
    "triton, of vllm": (expositions.TRITON_VLLM, Reading(-1, 2)),
    "tgi": (expositions.TGI, Reading(12, 3)),
    "llamacpp": (expositions.LLAMACPP, Reading(2, 4)),
    "triton": (expositions.TRITON, Reading(6, 1, 0.4, 6400)),
    "triton, plain": (expositions.TRITON_PLAIN, Reading(-1, 2)),
    "tensorrt-llm": (expositions.TENSORRT_LLM, Reading(4, 2, 0.75, 32_000)),
}


@pytest.mark.parametrize("which", READINGS)
def test_an_engine_is_recognised_and_read(which: str) -> None:
    text, expected = READINGS[which]
    dialect = recognised(text)
    assert dialect is not None
    assert dialect.name == which.partition(",")[0]
    assert dialect.read(text) == expected


def test_what_is_held_in_tokens_needs_both_share_and_size() -> None:
    assert Reading(kv_usage=0.5, kv_capacity=1000).kv_tokens == 500
    assert Reading(kv_usage=0.5).kv_tokens == -1
    assert Reading(kv_capacity=1000).kv_tokens == -1


def test_a_server_that_is_no_known_engine_is_not_taken_for_one() -> None:
    assert (
        recognised(b"python_info 1.0\nnginx_connections_active 3\n# vllm:in_a_comment 1\n") is None
    )
    assert recognised(b"<html>vllm:</html>") is None


def test_the_metrics_of_an_engine_that_triton_runs_are_tritons() -> None:
    both = expositions.VLLM + b"nv_inference_pending_request_count 2\n"
    dialect = recognised(both)
    assert dialect is not None
    assert dialect.name == "triton"


def test_at_an_engines_own_port_nothing_but_that_engine_is_looked_for() -> None:
    assert recognised(expositions.VLLM, 8002) is None
    triton = recognised(expositions.TRITON, 8002)
    assert triton is not None
    assert triton.name == "triton"


def test_every_engine_is_looked_for_at_the_endpoint_before_any_other_port() -> None:
    sought = places()
    assert sought[0].path == "/metrics"
    assert [place.port for place in sought] == sorted(place.port for place in sought)
    found = {place.dialect.name for place in sought if place.dialect is not None}
    expositions_at = {(place.port, place.path) for place in sought if place.dialect is None}
    for dialect in DIALECTS.values():
        assert dialect.name in found or (dialect.port, dialect.path) in expositions_at


def test_an_engines_name_is_that_of_its_file() -> None:
    for name, dialect in DIALECTS.items():
        assert dialect.name == name
        module = import_module(f"penstock.wire.engines.{name.replace('-', '_')}")
        assert module.DIALECT is dialect


def test_a_person_can_name_the_metrics_of_another_server() -> None:
    text = b'app_running{shard="1"} 2\napp_running{shard="2"} 3\napp_cache 0.5\napp_running_max 9\n'
    assert generic("app_running", "", "app_cache").read(text) == Reading(running=5, kv_usage=0.5)


def test_ollama_tells_what_is_resident_and_nothing_of_how_busy_it_is() -> None:
    read = DIALECTS["ollama"].read
    body = b'{"models": [{"name": "llama3:8b", "size_vram": 1, "expires_at": "x"}]}'
    assert read(body) == Reading(loaded=["llama3:8b"])
    assert read(b'{"models": []}') == Reading()
    with pytest.raises(UnreadableError):
        read(b'{"other": []}')


def test_llamacpp_without_metrics_is_read_from_its_slots() -> None:
    body = b'[{"id": 0, "is_processing": true}, {"id": 1, "is_processing": false}]'
    assert SLOTS.read(body) == Reading(running=1)


def test_sglang_without_metrics_is_read_from_what_it_tells_of_its_load() -> None:
    assert LOADS.read(expositions.SGLANG_LOADS) == Reading(10, 7, 0.25, 300_000)
    assert GET_LOAD.read(expositions.SGLANG_GET_LOAD) == Reading(3, 2)
    bare = b'{"loads": [{"num_running_reqs": 1, "num_waiting_reqs": 0}]}'
    assert LOADS.read(bare) == Reading(1, 0)


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        (LOADS, b'{"loads": []}'),
        (LOADS, b'{"loads": [{"id": 7, "origin": "a warehouse"}]}'),
        (GET_LOAD, b"[]"),
        (GET_LOAD, b'{"load": 1}'),
    ],
)
def test_another_servers_loads_are_not_taken_for_sglangs(
    dialect: EngineDialect, body: bytes
) -> None:
    with pytest.raises(UnreadableError):
        dialect.read(body)


@pytest.mark.parametrize(
    ("engine", "body", "tokens"),
    [
        ("llamacpp", b'{"total_slots": 4, "default_generation_settings": {"n_ctx": 8192}}', 8192),
        ("sglang", b'{"version": "0.5", "max_total_num_tokens": 1000}', 1000),
        ("tgi", b'{"max_batch_total_tokens": 2000}', 2000),
        ("tgi", b'{"model_id": "m"}', 0),
    ],
)
def test_the_size_of_a_cache_is_read_where_the_engine_tells_it(
    engine: str, body: bytes, tokens: int
) -> None:
    capacity = DIALECTS[engine].capacity
    assert capacity is not None
    assert capacity(body) == tokens


@pytest.mark.parametrize(
    ("held", "tokens"), [((0, 0), 8192), ((8000, 100), 8192), ((8000, 4000), 16384)]
)
def test_llamacpps_slots_share_a_memory_until_they_hold_more_than_fits_into_one(
    held: tuple[int, int], tokens: int
) -> None:
    capacity = DIALECTS["llamacpp"].more_capacity
    assert capacity is not None
    slots = [{"id": i, "n_ctx": 8192, "n_prompt_tokens": n} for i, n in enumerate(held)]
    assert capacity(json.dumps(slots).encode()) == tokens


def test_llamacpp_tells_prompt_tokens_with_and_without_those_cached() -> None:
    body = b"llamacpp:prompt_tokens_total 98\nllamacpp:prompt_tokens_cached_total 96\n"
    reading = DIALECTS["llamacpp"].read(body)
    assert (reading.prefix_queries, reading.prefix_hits) == (194, 96)


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"not metrics at all\n", b"vllm:"])
def test_nonsense_tells_nothing(body: bytes) -> None:
    assert DIALECTS["vllm"].read(body) == Reading()


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf", "-3", "1e300"])
def test_figures_that_cannot_be_are_not_known(value: str) -> None:
    names = (
        "num_requests_running",
        "num_requests_waiting",
        "prefix_cache_queries_total",
        "prefix_cache_hits_total",
    )
    lines = [f"vllm:{name} {value}" for name in names]
    assert DIALECTS["vllm"].read("\n".join(lines).encode()) == Reading()
    held = Reading(kv_usage=float(value), kv_capacity=1000)
    assert held.kv_usage in (-1, 1), "a cache cannot be more than full"
    assert held.kv_tokens in (-1, 1000)


@pytest.mark.parametrize("size", ["1" * 30, "1" * 5000, "1²", "-5", "1.5", ""])
def test_a_size_that_cannot_be_is_not_known(size: str) -> None:
    text = f'vllm:cache_config_info{{block_size="16",num_gpu_blocks="{size}"}} 1.0\n'
    assert DIALECTS["vllm"].read(text.encode()) == Reading()
    rank = b'{"num_running_reqs": 1, "num_waiting_reqs": 0, "max_total_num_tokens": 1%030d}' % 0
    assert LOADS.read(b'{"loads": [%b]}' % rank) == Reading(1, 0)


@pytest.mark.parametrize("engine", ["ollama", "sglang"])
def test_an_answer_of_nothing_but_brackets_is_an_error_for_people(engine: str) -> None:
    read = {"ollama": DIALECTS["ollama"].read, "sglang": GET_LOAD.read}[engine]
    with pytest.raises(UnreadableError, match="cannot be read"):
        read(b"[" * 100_000)


def test_a_torn_line_is_an_error_for_people() -> None:
    with pytest.raises(UnreadableError, match="cannot be read"):
        DIALECTS["vllm"].read(b'vllm:num_requests_running{engine="0" 7.0.0\n')
