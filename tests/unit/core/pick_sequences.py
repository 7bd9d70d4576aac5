"""A little world that gives policies for language models everything to decide by, the same anew
each time: what each picks in it, to the last draw.

``python -m tests.unit.core.pick_sequences`` records what is picked now in ``pick_sequences.json``.
"""

import json
from collections import deque
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Final

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.measure.load_report import LoadReport
from penstock.core.policy import create, policies
from penstock.core.policy.support.serving import ServingPolicy
from penstock.core.prefixes.prefix_index import ExactPrefixes
from penstock.core.request import Request
from penstock.core.ticket import ABANDONED, DONE, RESET, Ticket

RECORDED: Final = Path(__file__).with_suffix(".json")
PICKS: Final = 450
SIZES: Final = (1, 3, 8, 40)
# Options under which other ways through a policy are taken.
_VARIANTS: Final[dict[str, tuple[dict[str, object], ...]]] = {
    "kv-cost": ({}, {"temperature": 0.5, "request_weight": 1.5}),
    "marginal-cost": (
        {},
        {"ttft_objective_s": 0.2, "token_objective_s": 0.03, "copies": 0.2, "explore": 0.1},
        {"copies": 0.0, "explore": 0.0, "noise": 0.0},
    ),
    "scored": ({}, {"picker": "random", "max_kv": 0.5}),
    "prefix-sticky": ({}, {"affinity": 0.2, "max_delay_s": 0.5}),
}
_BLOCK_TOKENS: Final = 16


class _Told(ExactPrefixes):
    """What caches hold for certain: a few blocks, in a few slots."""

    def __init__(self, dice: Random) -> None:
        self._held = {block: dice.getrandbits(3) for block in range(1, 120)}

    def holders(self, block: int) -> int:
        return self._held.get(block, -1)


def cases() -> dict[str, tuple[str, dict[str, object], int]]:
    """By name: a policy, its options, and how many endpoints it has."""
    found: dict[str, tuple[str, dict[str, object], int]] = {}
    for name, policy in policies().items():
        if not issubclass(policy, ServingPolicy):
            continue
        for number, options in enumerate(_VARIANTS.get(name, ({},))):
            for size in SIZES:
                found[f"{name} {number} of {size}"] = (name, options, size)
    return found


def sequence(name: str, options: dict[str, object], size: int) -> str:
    """What is picked, as a digest; the last draw tells whether as many were made."""
    dice = Random(size)
    env = Env(Random(7), 100.0)
    policy = create(name, options)
    assert isinstance(policy, ServingPolicy)
    endpoints = [_endpoint(number, dice) for number in range(size)]
    policy.replace_members(endpoints)
    policy.rebuild(endpoints)
    if size == 8:
        policy.index.exact = _Told(dice)
    beginnings = [_blocks(dice, dice.choice((10, 40, 60))) for _ in range(6)]
    running: deque[Ticket] = deque()
    picked: list[int] = []
    for number in range(PICKS):
        env.now += dice.expovariate(4.0 * size)
        if number % 200 == 199:
            env.now += 25.0  # long enough for what was believed to fade
        _happen(number, policy, endpoints, dice, env.now)
        request = _request(number, beginnings, dice)
        eligible = endpoints
        if number % 7 == 3 and size > 2:  # after a failure, or where one is full
            eligible = [each for each in endpoints if each is not endpoints[number % size]]
        if number % 50 == 20:
            for endpoint, terms in policy.explain(request, eligible, env):
                picked.append(endpoint.order)
                picked += [hash(value) for value in terms.values()]
        chosen = policy.pick(request, eligible, env)
        assert chosen is not None
        picked.append(chosen.order)
        ticket = Ticket(chosen, policy, request, env.now)
        running.append(ticket)
        while len(running) > 3 * size or (len(running) > size and dice.random() < 0.5):
            _go_on(running, dice, env.now)
    picked += [hash(env.random()), hash(dice.random())]
    return sha256(" ".join(map(str, picked)).encode()).hexdigest()[:32]


def _endpoint(number: int, dice: Random) -> Endpoint:
    endpoint = Endpoint(f"10.0.0.{number}:8000", weight=float(number % 3 + 1))
    endpoint.order = number
    endpoint.exact_slot = number if number < 3 else -1
    if number % 5 == 4:
        endpoint.hit_distrust = 0.4
    if number % 3 == 2:
        endpoint.reported.kv_capacity = dice.randint(3000, 20_000)
    if number % 4 == 1:
        endpoint.reported.most_running = 3
    return endpoint


def _blocks(dice: Random, count: int) -> list[int]:
    return [
        dice.randint(1, 120) if dice.random() < 0.1 else dice.getrandbits(60) for _ in range(count)
    ]


def _request(number: int, beginnings: list[list[int]], dice: Random) -> Request:
    if number % 23 == 5:
        return Request(key_hash=number)  # a prompt that was not understood
    blocks = dice.choice(beginnings) + _blocks(dice, dice.randint(0, 30))
    if number % 6 == 0:
        beginnings[dice.randrange(len(beginnings))] = blocks[:90]  # the conversation goes on
    if number % 11 == 4:
        blocks = _blocks(dice, dice.randint(1, 50))
    tokens = len(blocks) * _BLOCK_TOKENS + dice.randint(0, _BLOCK_TOKENS - 1)
    ends = [_BLOCK_TOKENS * (at + 1) for at in range(len(blocks))] if number % 2 else None
    return Request(
        prompt_tokens=tokens,
        output_tokens=dice.randint(1, 400),
        blocks=blocks,
        block_ends=ends,
        block_tokens=_BLOCK_TOKENS,
        streams=number % 9 != 0,
    )


def _happen(
    number: int, policy: ServingPolicy, endpoints: list[Endpoint], dice: Random, now: float
) -> None:
    """What others do there, and what engines tell."""
    endpoint = dice.choice(endpoints)
    endpoint.elsewhere = dice.randint(0, 4)
    endpoint.tokens_elsewhere.pending_prefill = dice.randint(0, 3000)
    endpoint.tokens_elsewhere.decoding = dice.randint(0, 4)
    if number % 10 == 0:
        report = LoadReport(
            now,
            kv_tokens=dice.randint(0, 9000),
            kv_capacity=endpoint.reported.kv_capacity or -1,
            cached_tokens=dice.randint(500, 30_000) if number % 20 == 0 else -1,
            cold=number % 150 == 0,
        )
        policy.on_report(endpoint, report)
    if number % 300 == 150 and len(endpoints) > 2:
        left = [each for each in endpoints if each is not endpoint]
        policy.rebuild(left)
        policy.rebuild(endpoints)


def _go_on(running: deque[Ticket], dice: Random, now: float) -> None:
    ticket = running.popleft()
    if ticket.first_byte_at == 0.0 and dice.random() < 0.9:
        if dice.random() < 0.8:
            ticket.first_byte(now)
            ticket.output_tokens = dice.randint(0, 40)
            running.append(ticket)
        else:
            ticket.settle(dice.choice((ABANDONED, RESET)), now)
        return
    ticket.output_tokens += dice.randint(0, 300)
    ticket.settle(DONE if dice.random() < 0.97 else RESET, now)


def main() -> None:
    """Record."""
    told = {label: sequence(*case) for label, case in cases().items()}
    RECORDED.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
