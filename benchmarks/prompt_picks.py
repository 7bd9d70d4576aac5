"""What a pick costs with a prompt: 100 blocks, of which half are known on some endpoints.

A fourth of the endpoints hold 50 of the blocks, another fourth 25, and the rest none. All have
prompts waiting and answers under way, have told their cache's size, and were learned of.
"""

from random import Random
from typing import Final

from benchmarks.data import Record
from benchmarks.reproductions.reproduction import table
from benchmarks.timed_picks import seconds_per_pick
from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.policy import Policy, create, policies
from penstock.core.request import Request
from penstock.core.ticket import DONE, Ticket

DATA: Final = "picks-with-prompts"
SIZES: Final = (8, 100, 1000)
AIMS_US: Final = {8: 20.0, 100: 60.0, 1000: 400.0}
_BLOCKS: Final = 100
_BLOCK_TOKENS: Final = 16
_PROMPTS: Final = 10
_LEARNED: Final = 30  # requests of each endpoint: as many as make a policy believe

# Seconds per pick by policy, then by pool size.
Costs = dict[str, dict[str, float]]


def costs(names: list[str]) -> Costs:
    """Of those policies that read prompts."""
    read = [name for name in names if policies()[name].reads_prompts]
    return {name: {str(size): _measured(name, size) for size in SIZES} for name in read}


def _measured(name: str, size: int) -> float:
    dice = Random(size)
    env = Env(Random(1), 100.0)
    endpoints = [Endpoint(f"10.0.{i // 256}.{i % 256}:8000") for i in range(size)]
    for order, endpoint in enumerate(endpoints):
        endpoint.order = order
        endpoint.reported.kv_capacity = 400_000
    policy = create(name)
    policy.replace_members(endpoints)
    policy.rebuild(endpoints)
    prompts = [_prompt([dice.getrandbits(60) for _ in range(_BLOCKS)]) for _ in range(_PROMPTS)]
    _fill(policy, endpoints, prompts, env)
    return seconds_per_pick(policy, prompts, endpoints, env)


def _prompt(blocks: list[int]) -> Request:
    tokens = len(blocks) * _BLOCK_TOKENS
    return Request(
        prompt_tokens=tokens, output_tokens=200, blocks=blocks, block_tokens=_BLOCK_TOKENS
    )


def _fill(policy: Policy, endpoints: list[Endpoint], prompts: list[Request], env: Env) -> None:
    """With what they hold, what is under way there, and what was learned of each."""
    for order, endpoint in enumerate(endpoints):
        held = {0: 50, 1: 25}.get(order % 4, 0)
        for prompt in prompts if held else ():
            _answered(policy, endpoint, _prompt(prompt.blocks[:held]), env)
        for _ in range(_LEARNED // 10):
            _answered(policy, endpoint, _prompt([env.rng.getrandbits(60)] * 3), env)
        for running in range(1 + order % 3):
            ticket = Ticket(endpoint, policy, _prompt([env.rng.getrandbits(60)]), env.now)
            if running:
                ticket.first_byte(env.now + 0.001)


def _answered(policy: Policy, endpoint: Endpoint, request: Request, env: Env) -> None:
    ticket = Ticket(endpoint, policy, request, env.now)
    ticket.first_byte(env.now + 0.02 + 0.02 * env.random())
    ticket.output_tokens = 20
    ticket.settle(DONE, ticket.first_byte_at + 0.4 + 0.1 * env.random())


def records(how: str, measured: Costs) -> list[Record]:
    """Rows of the data file."""
    rows: list[Record] = []
    for name, by_size in measured.items():
        row = {"form": how, "policy": name}
        rows.append(row | {f"µs for {size}": f"{by_size[str(size)] * 1e6:.1f}" for size in SIZES})
    return rows


def shown(rows: list[Record]) -> list[str]:
    """All policies, and the aims."""
    told = [
        [row["policy"], row["form"], *(row[f"µs for {size}"] for size in SIZES)] for row in rows
    ]
    aims = [f"≤ {AIMS_US[size]:.0f}" for size in SIZES]
    heads = ["policy", "form", *(f"{size:,} endpoints" for size in SIZES)]
    return [
        "With a prompt of 100 blocks, of which a fourth of the endpoints hold 50 and another "
        "fourth 25; microseconds:",
        "",
        *table(heads, [*told, ["aim", "compiled", *aims]]),
    ]
