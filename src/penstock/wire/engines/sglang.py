"""SGLang: metrics with ``--enable-metrics``; without, it reports its load at paths of their own."""

from typing import Final, TypeVar

import msgspec

from penstock.wire.engines.dialect import YES, EngineDialect, Reports, decoded
from penstock.wire.engines.exposition import Samples, capacity, lines, wanted
from penstock.wire.engines.reading import UNKNOWN, Reading, UnreadableError, whole

_T = TypeVar("_T")
_WANTED: Final = wanted(
    prefix + name
    for prefix in ("sglang:", "sglang_")
    for name in (
        "num_running_reqs",
        "num_queue_reqs",
        "token_usage",
        "max_total_num_tokens",
        "cache_config_info",
        "prompt_tokens_total",
        "cached_tokens_total",
    )
)


class _RankLoad(msgspec.Struct):
    num_running_reqs: int
    num_waiting_reqs: int
    token_usage: float = UNKNOWN
    max_total_num_tokens: int = 0


class _Loads(msgspec.Struct):
    loads: list[_RankLoad]


class _Load(msgspec.Struct):
    num_reqs: int
    num_waiting_reqs: int


class _ServerInfo(msgspec.Struct):
    max_total_num_tokens: int = 0


def _read(body: bytes) -> Reading:
    samples = Samples(lines(body, _WANTED).replace("sglang_", "sglang:"))
    usages = _by_rank(samples, "sglang:token_usage")
    tokens = whole(sum(_by_rank(samples, "sglang:max_total_num_tokens")))
    if tokens <= 0:
        tokens = capacity(samples, "sglang:cache_config_info", "page_size", "num_pages")
    queries = samples.sum("sglang:prompt_tokens_total")
    hits = samples.sum("sglang:cached_tokens_total")
    return Reading(
        running=_total(_by_rank(samples, "sglang:num_running_reqs")),
        waiting=_total(_by_rank(samples, "sglang:num_queue_reqs")),
        kv_usage=_total(usages) / max(len(usages), 1),
        kv_capacity=tokens,
        prefix_queries=whole(queries),
        prefix_hits=whole(0 if hits < 0 <= queries else hits),  # it is not there before the first
    )


def _by_rank(samples: Samples, name: str) -> list[float]:
    """The figures of each part of an engine that has requests of its own.

    Stages of a pipeline report the same requests, as do ranks that share a ``dp_rank``; with
    priorities there is a sample for each beside the one of all (``SchedulerMetricsCollector``).
    """
    found: dict[str, float] = {}
    for labels, value in samples.of(name):
        if not labels.get("priority"):
            rank = labels.get("dp_rank") or "tensor " + labels.get("tp_rank", "")
            found[rank] = max(value, found.get(rank, value))
    return list(found.values())


def _total(figures: list[float]) -> float:
    return sum(figures) if figures else UNKNOWN


def _read_loads(body: bytes) -> Reading:
    ranks = _some(decoded(body, _Loads).loads)
    usages = [rank.token_usage for rank in ranks]
    return Reading(
        running=sum(rank.num_running_reqs for rank in ranks),
        waiting=sum(rank.num_waiting_reqs for rank in ranks),
        kv_usage=UNKNOWN if UNKNOWN in usages else sum(usages) / len(usages),
        kv_capacity=sum(rank.max_total_num_tokens for rank in ranks) or UNKNOWN,
    )


def _read_get_load(body: bytes) -> Reading:
    """The tokens that it reports include those of prompts that wait, so they are not read."""
    ranks = _some(decoded(body, list[_Load]))
    waiting = sum(rank.num_waiting_reqs for rank in ranks)
    return Reading(running=max(sum(rank.num_reqs for rank in ranks) - waiting, 0), waiting=waiting)


def _some(ranks: list[_T]) -> list[_T]:
    """Those of an engine, which has at least one."""
    if not ranks:
        raise UnreadableError("its answer is empty")
    return ranks


def _server_info(body: bytes) -> int:
    return decoded(body, _ServerInfo).max_total_num_tokens


_INFO_PATHS: Final = ("/server_info", "/get_server_info")  # the second is that of older builds
LOADS: Final = EngineDialect(
    "sglang",
    "SGLang without `--enable-metrics`",
    _read_loads,
    Reports(YES, YES, YES),
    path="/v1/loads",
    info_paths=_INFO_PATHS,
    capacity=_server_info,
    is_stand_in=True,
)
GET_LOAD: Final = EngineDialect(
    "sglang",
    "SGLang without, older builds",
    _read_get_load,
    Reports(YES, "", YES),
    path="/get_load",
    info_paths=_INFO_PATHS,
    capacity=_server_info,
    is_stand_in=True,
)
DIALECT: Final = EngineDialect(
    "sglang",
    "SGLang (`--enable-metrics`)",
    _read,
    Reports(YES, YES, YES, YES),
    marks=("sglang:", "sglang_"),
    info_paths=_INFO_PATHS,
    capacity=_server_info,
    stand_ins=(LOADS, GET_LOAD),
)
