"""Scored: endpoints are filtered, scored in [0, 1] by several rules, and the best sum is picked.

    filter   KV cache in use below ``max_kv``, unless none is
    score    prefix_weight · hit / prompt
             + queue_weight · (most waiting − waiting) / (most − least)       prompt tokens
             + kv_weight · (1 − KV cache in use)                              1 while unknown
             + load_weight · max(0, ½·(1 − requests / 128))
    picker   ``best`` (equal ones drawn by weight), or ``random`` in proportion to the scores

Source: llm-d's scheduler of filters, scorers and pickers, with its later weights 3/2/2; with all
but ``prefix_weight`` 0 it is longest match. O(blocks + endpoints) per pick.
"""

from typing import ClassVar

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.policy.base import Option
from penstock.core.policy.support.least import least_of
from penstock.core.policy.support.serving import PREFIX_BLOCKS, ServingPolicy, held, pending
from penstock.core.prefixes.prefix_index import DEFAULT_BLOCKS
from penstock.core.request import Request


class Scored(ServingPolicy):
    name: ClassVar[str] = "scored"
    options: ClassVar[tuple[Option, ...]] = (
        Option("prefix_weight", 3.0, "weight of the cached share", minimum=0.0),
        Option("queue_weight", 2.0, "weight of a short queue", minimum=0.0),
        Option("kv_weight", 2.0, "weight of free KV cache", minimum=0.0),
        Option("load_weight", 2.0, "weight of few requests", minimum=0.0),
        Option("max_kv", 1.0, "KV cache in use above which one is left out", minimum=0.0),
        Option("picker", "best", "how the scores decide", choices=("best", "random")),
        PREFIX_BLOCKS,
    )

    def __init__(
        self,
        prefix_weight: float = 3.0,
        queue_weight: float = 2.0,
        kv_weight: float = 2.0,
        load_weight: float = 2.0,
        max_kv: float = 1.0,
        picker: str = "best",
        prefix_blocks: int = DEFAULT_BLOCKS,
    ) -> None:
        super().__init__(prefix_blocks)
        self._prefix: float = prefix_weight
        self._queue: float = queue_weight
        self._kv: float = kv_weight
        self._load: float = load_weight
        self._max_kv: float = max_kv
        self._random: bool = picker == "random"

    def choose(
        self, request: Request, eligible: list[Endpoint], hits: list[int], env: Env
    ) -> Endpoint:
        waiting = [pending(endpoint) for endpoint in eligible]
        usage = [_kv_usage(endpoint) for endpoint in eligible]
        most = max(waiting)
        spread = most - min(waiting)
        left_out = min(usage) < self._max_kv
        scores = []
        for index, endpoint in enumerate(eligible):
            if left_out and usage[index] >= self._max_kv:
                scores.append(-1.0)
                continue
            score = self._prefix * hits[index] / request.prompt_tokens
            score += self._queue * ((most - waiting[index]) / spread if spread else 1.0)
            score += self._kv * max(1.0 - usage[index], 0.0)
            score += self._load * max(0.5 * (1.0 - endpoint.load() / 128.0), 0.0)
            scores.append(score)
        if self._random:
            return eligible[_drawn(scores, env)]
        return least_of(eligible, [-score for score in scores], env)

    def explain_each(
        self, request: Request, eligible: list[Endpoint], hits: list[int]
    ) -> list[dict[str, float]]:
        """Each weighted score; the sum of one that is left out is -1."""
        waiting = [pending(endpoint) for endpoint in eligible]
        usage = [_kv_usage(endpoint) for endpoint in eligible]
        most = max(waiting)
        spread = most - min(waiting)
        left_out = min(usage) < self._max_kv
        explained = []
        for index, endpoint in enumerate(eligible):
            terms = {
                "prefix": self._prefix * hits[index] / request.prompt_tokens,
                "queue": self._queue * ((most - waiting[index]) / spread if spread else 1.0),
                "kv": self._kv * max(1.0 - usage[index], 0.0),
                "load": self._load * max(0.5 * (1.0 - endpoint.load() / 128.0), 0.0),
            }
            total = terms["prefix"] + terms["queue"] + terms["kv"] + terms["load"]
            terms["score"] = -1.0 if left_out and usage[index] >= self._max_kv else total
            explained.append(terms)
        return explained


def _kv_usage(endpoint: Endpoint) -> float:
    return held(endpoint) / endpoint.reported.kv_capacity if endpoint.reported.kv_capacity else 0.0


def _drawn(scores: list[float], env: Env) -> int:
    chances = [max(score, 0.0) for score in scores]
    left = env.random() * sum(chances)
    for index, chance in enumerate(chances):
        left -= chance
        if left < 0.0:
            return index
    return scores.index(max(scores))
