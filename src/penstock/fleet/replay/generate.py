"""Generated workloads: conversations, shared system prompts, agentic loops.

Sessions arrive as a Poisson process. Lengths and pauses are log-normal about their means. The
same seed gives the same workload.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Literal

from penstock.fleet.replay.session import Message, Role, Session, Text, Turn, Workload
from penstock.fleet.replay.text import BLOCK_TOKENS

Kind = Literal["multi-turn", "shared-prompt", "agentic", "no-prefix"]

# Spread of lengths and pauses: standard deviation of the logarithm, a coefficient of variation
# of 0.53.
_SIGMA = 0.5


@dataclass(frozen=True)
class Shape:
    """What a generated workload looks like; lengths in tokens, means where they vary.

    ``think_s`` is the mean pause between an answer and the next turn. With ``timed`` the turns of
    a session are sent at fixed times instead, ``think_s`` plus the nominal time to answer apart.
    """

    kind: Kind
    requests: int
    rate_per_s: float
    groups: int  # how many different system prompts there are
    system_tokens: int
    turns: int  # mean, per session
    input_tokens: int  # added by each turn
    output_tokens: int
    think_s: float
    timed: bool = True
    seed: int = 1


# What each kind means unless told otherwise. Multi-turn: chat with a short system prompt, a
# reader's pauses. Shared prompt: llm-d's published benchmark (150 groups of 6,000 tokens, 5 users
# each, questions of 1,200 tokens, answers of 1,000). Agentic: a coding agent, whose tools answer
# within seconds and at length. No prefix: reasoning, short questions and long answers.
DEFAULTS: dict[Kind, Shape] = {
    "multi-turn": Shape("multi-turn", 500, 5.0, 4, 500, 6, 150, 250, 10.0),
    "shared-prompt": Shape("shared-prompt", 750, 5.0, 150, 6000, 1, 1200, 1000, 0.0),
    "agentic": Shape("agentic", 500, 5.0, 4, 4000, 15, 800, 150, 2.0),
    "no-prefix": Shape("no-prefix", 500, 5.0, 0, 0, 1, 300, 1500, 0.0),
}

# Of an answer's tokens, for timed sessions; about what a 70B model needs at moderate load.
_NOMINAL_TOKEN_S = 0.02


def generate(shape: Shape) -> Workload:
    """The workload of ``shape``. Raises ValueError where it can have no requests."""
    if shape.requests < 1 or shape.rate_per_s <= 0 or shape.turns < 1:
        raise ValueError("a workload needs at least one request, one turn and a rate above 0")
    chance = random.Random(shape.seed)
    make = _SessionMaker(shape, chance)
    sessions: list[Session] = []
    now = 0.0
    left = shape.requests
    while left > 0:
        session = make.session(now, left)
        sessions.append(session)
        left -= len(session.turns)
        now += chance.expovariate(shape.rate_per_s / shape.turns)
    pace = "timed" if shape.timed else "think time"
    description = (
        f"{shape.kind}: {shape.requests} requests, {shape.rate_per_s:g}/s, {pace}, "
        f"{shape.groups}×{shape.system_tokens} system tokens, {shape.turns} turns of "
        f"{shape.input_tokens} in and {shape.output_tokens} out, seed {shape.seed}"
    )
    return Workload(description, tuple(sessions))


class _SessionMaker:
    """Draws sessions; every block of text that is not shared gets a seed of its own."""

    def __init__(self, shape: Shape, chance: random.Random) -> None:
        self._shape = shape
        self._chance = chance
        # Seeds of different workloads differ, so that one does not warm the caches of the next.
        self._next_seed = (shape.seed + 1) << 40
        self._systems = [self._message("system", shape.system_tokens) for _ in range(shape.groups)]

    def session(self, start_s: float, at_most: int) -> Session:
        shape = self._shape
        count = min(at_most, self._turn_count())
        turns: list[Turn] = []
        since_start_s = 0.0
        for number in range(count):
            added: list[Message] = []
            if number == 0 and shape.groups and shape.system_tokens:
                added.append(self._chance.choice(self._systems))
            if number and shape.timed:
                added.append(self._message("assistant", turns[-1].output_tokens))
            added.append(self._message("user", self._about(shape.input_tokens)))
            output = self._about(shape.output_tokens)
            think_s = self._pause_s() if number else 0.0
            if shape.timed and number:
                since_start_s += think_s + turns[-1].output_tokens * _NOMINAL_TOKEN_S
            wait_s = since_start_s if shape.timed else think_s
            turns.append(Turn(wait_s, tuple(added), output))
        closed = not shape.timed
        return Session(start_s, tuple(turns), closed=closed, answers_kept=closed)

    def _turn_count(self) -> int:
        return 1 if self._shape.turns == 1 else self._about(self._shape.turns)

    def _message(self, role: Role, tokens: int) -> Message:
        blocks = -(-tokens // BLOCK_TOKENS)
        seeds = tuple(range(self._next_seed, self._next_seed + blocks))
        self._next_seed += blocks
        return Message(role, Text(seeds, tokens))

    def _about(self, mean: float) -> int:
        return max(1, round(self._lognormal(mean)))

    def _pause_s(self) -> float:
        return self._lognormal(self._shape.think_s) if self._shape.think_s > 0 else 0.0

    def _lognormal(self, mean: float) -> float:
        return self._chance.lognormvariate(math.log(mean) - _SIGMA * _SIGMA / 2, _SIGMA)
