"""Configurations of chance, of one kind for each run and with other endpoints after each reload."""

from collections.abc import Sequence
from random import Random
from typing import Any, ClassVar

import msgspec

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.policy import Policy
from penstock.core.request import Request
from penstock.core.snapshot import (
    Admission,
    Breaker,
    Connections,
    Hedge,
    Limit,
    LimitChoice,
    Match,
    PolicyChoice,
    Pool,
    PoolTimeouts,
    Queue,
    Retry,
    Snapshot,
)
from penstock.core.ticket import Ticket
from tests.harness.fake.stage import member, pool_of
from tests.harness.world import listener, route, world

ROWS = 6
STREAM_ROWS = (6, 7)  # of endpoints whose connections are relayed unread
_POLICIES = ("round-robin", "least-request", "power-of-two", "random", "least-response-time")


class Bookkeeper(Policy):
    """Picks by chance, and sees every ticket begin and end."""

    observes = True
    running: ClassVar[set[int]] = set()  # ids of tickets
    kept: ClassVar[list[Ticket]] = []  # so that no id comes twice

    def pick(self, request: Request, eligible: list[Endpoint], env: Env) -> Endpoint | None:
        return eligible[env.below(len(eligible))] if eligible else None

    def on_start(self, ticket: Ticket) -> None:
        assert id(ticket) not in self.running
        self.running.add(id(ticket))
        self.kept.append(ticket)

    def on_end(self, ticket: Ticket) -> None:
        assert id(ticket) in self.running, "a ticket was settled twice"
        self.running.discard(id(ticket))

    @classmethod
    def forget(cls) -> None:
        cls.running.clear()
        cls.kept.clear()


class Setting:
    """What one run has."""

    def __init__(self, rng: Random, calm: bool) -> None:
        self.rng = rng
        self.calm = calm
        self.keeps_book = rng.random() < 0.6
        share = rng.choice((0.0, 0.5, 1.0))
        self.http2_rows = frozenset(row for row in range(ROWS) if rng.random() < share)
        self.http2_share = rng.choice((0.0, 0.5, 1.0))  # of clients
        self.settings = self._pool()
        self.limits: tuple[Limit, ...] = ()
        if not calm and rng.random() < 0.2:
            self.limits = (Limit("places", "concurrent", float(rng.choice((2, 4, 20)))),)
        self.upgrades = 0.0 if self.http2_rows else rng.choice((0.0, 0.05, 0.3))
        self.streams_share = rng.choice((0.0, 0.0, 0.1, 0.4))  # of clients

    def change(self) -> None:
        """Its pool has other settings from the next snapshot on."""
        self.settings = self._pool()

    def _pool(self) -> dict[str, Any]:
        rng = self.rng
        calm = self.calm
        settings: dict[str, Any] = {
            "policy": PolicyChoice(rng.choice(_POLICIES)),
            "retry": Retry(attempts=3),
            "timeouts": PoolTimeouts(
                connect_s=2.0 if not calm else 60.0,
                first_byte_s=rng.choice((3.0, 300.0)) if not calm else 300.0,
                stream_idle_s=rng.choice((3.0, 300.0)) if not calm else 300.0,
                request_s=rng.choice((0.0, 0.0, 5.0)) if not calm else 0.0,
            ),
            "connections": Connections(
                max_idle=rng.choice((0, 1, 256)), max_requests=rng.choice((0, 0, 3))
            ),
        }
        if self.keeps_book:
            settings["policy"] = PolicyChoice(f"{Bookkeeper.__module__}:{Bookkeeper.__name__}")
        self.bound = rng.choice((0, 0, 1, 3))
        if self.bound or rng.random() < 0.2:
            wait = Queue(length=1000, timeout_s=1000.0) if calm else Queue(length=4, timeout_s=3.0)
            limit = None
            if rng.random() < 0.3:
                limit = LimitChoice(rng.choice(("aimd", "gradient2", "vegas")))
            settings["admission"] = Admission(queue=wait, limit=limit)
        if not calm and rng.random() < 0.3:
            settings["breaker"] = Breaker(failures=2, open_s=1.0)
        if rng.random() < 0.2:
            settings["hedge"] = Hedge(after_s=rng.choice((0.005, 0.05, 30.0)), budget_share=0.5)
        if rng.random() < 0.3:
            settings["request_buffer"] = rng.choice((100, 10_000))
        return settings

    def snapshot(self, rows: Sequence[int]) -> Snapshot:
        """With those endpoints."""
        members = [
            member(row, max_in_flight=self.bound, http2=row in self.http2_rows) for row in rows
        ]
        pool: Pool = msgspec.structs.replace(pool_of(*members), **self.settings)
        streams = msgspec.structs.replace(
            pool_of(*STREAM_ROWS), name="streams", protocol="tcp", row=1, policy=pool.policy
        )
        return world(
            pool,
            streams,
            routes=[
                route("streams", match=Match(listeners=("streams",))),
                route("main", limits=self.limits, upgrades=("raw",)),
            ],
            listeners=[listener(), listener("streams", protocol="tcp")],
        )
