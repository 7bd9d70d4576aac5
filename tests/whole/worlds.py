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
    Key,
    Limit,
    LimitChoice,
    Match,
    PolicyChoice,
    Pool,
    PoolTimeouts,
    Queue,
    Resume,
    Retry,
    Snapshot,
    Tenant,
)
from penstock.core.ticket import Ticket
from tests.harness.fake.stage import member, pool_of
from tests.harness.world import listener, route, world
from tests.whole.generations import TENANTS, digest_of

ROWS = 6
STREAM_ROWS = (6, 7)  # of endpoints whose connections are relayed unread
MODEL_ROWS = (8, 9, 10)  # of engines
ALL_ROWS = ROWS + len(STREAM_ROWS) + len(MODEL_ROWS)
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
        self.http2_rows = frozenset(row for row in range(ALL_ROWS) if rng.random() < share)
        self.http2_share = rng.choice((0.0, 0.5, 1.0))  # of clients
        self.models_share = rng.choice((0.0, 0.3, 1.0))  # of clients
        self.settings = self._pool()
        self.models = self._models()
        self.route_limits: tuple[Limit, ...] = ()
        if not calm and rng.random() < 0.2:
            self.route_limits = (Limit("places", "concurrent", float(rng.choice((2, 4, 20)))),)
        self.limits: tuple[Limit, ...] = self.route_limits  # all that there are
        self.tenants = self._tenants()
        self.upgrades = 0.0 if self.http2_rows else rng.choice((0.0, 0.05, 0.3))
        self.streams_share = rng.choice((0.0, 0.0, 0.1, 0.4))  # of clients

    def change(self) -> None:
        """Its pool has other settings from the next snapshot on."""
        self.settings = self._pool()
        self.models = self._models()

    @property
    def hedges(self) -> bool:
        """Whether some are asked of two."""
        return "hedge" in self.settings

    def _tenants(self) -> tuple[Tenant, ...]:
        """Each with limits of its own, or none."""
        rng = self.rng
        plenty = 1e9 if self.calm else rng.choice((1e9, 3000.0))
        places = 1000.0 if self.calm else rng.choice((1000.0, 3.0))
        made = []
        for name in TENANTS:
            limits = (
                Limit(f"{name} places", "concurrent", places),
                Limit(f"{name} tokens", "tokens", plenty, "ever", budget=True),
                Limit(f"{name} rate", "input_tokens", plenty, "minute", by=("model",)),
            )
            given = tuple(each for each in limits if rng.random() < 0.6)
            made.append(Tenant(name, (Key("ci", digest_of(name)),), limits=given))
            self.limits += given
        return tuple(made)

    def _models(self) -> dict[str, Any]:
        """What the pool of engines has beside what others have."""
        rng = self.rng
        calm = self.calm
        settings: dict[str, Any] = {"usage": rng.choice(("off", "asked", "hidden", "hidden"))}
        slow = rng.choice((0.5, 3.0)) if not calm else 0.0
        settings["timeouts"] = PoolTimeouts(
            connect_s=2.0 if not calm else 60.0,
            first_token_s=rng.choice((0.0, slow)),
            token_s=rng.choice((0.0, slow)),
        )
        if rng.random() < 0.7:
            settings["resume"] = Resume(
                token_ids=rng.random() < 0.5,
                exact=rng.random() < 0.2,
                answer_bytes=rng.choice((300, 1 << 20)) if not calm else 1 << 20,
            )
        return settings

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
        engines = [
            member(row, max_in_flight=self.bound, http2=row in self.http2_rows)
            for row in MODEL_ROWS
        ]
        pool: Pool = msgspec.structs.replace(pool_of(*members), **self.settings)
        streams = msgspec.structs.replace(
            pool_of(*STREAM_ROWS), name="streams", protocol="tcp", row=1, policy=pool.policy
        )
        models = msgspec.structs.replace(
            pool_of(*engines),
            **{**self.settings, "name": "models", "row": 2, "kind": "llm", **self.models},
        )
        return world(
            pool,
            streams,
            models,
            routes=[
                route("streams", match=Match(listeners=("streams",))),
                route("models", match=Match(path_kind="prefix", path="/v1/"), tenants="required"),
                route("main", limits=self.route_limits, upgrades=("raw",)),
            ],
            listeners=[listener(), listener("streams", protocol="tcp")],
            tenants=self.tenants,
        )
