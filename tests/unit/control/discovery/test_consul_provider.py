"""A service in Consul, from a stand-in that keeps its index and its rules of blocking."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from penstock.control.discovery.provider import ProviderError
from penstock.control.discovery.providers.consul import ConsulProvider
from penstock.core.snapshot.discovery import ConsulDiscovery, Found


class Agent:
    """Answers at once without an index, else when its own is greater."""

    def __init__(self) -> None:
        self.index = 10
        self.instances: list[dict[str, Any]] = []
        self.queries: list[dict[str, str]] = []
        self.token = ""
        self.url = ""
        self._changed = asyncio.Condition()

    async def say(self, *instances: dict[str, Any], index: int | None = None) -> None:
        async with self._changed:
            self.instances = list(instances)
            self.index = self.index + 1 if index is None else index
            self._changed.notify_all()

    async def health(self, request: web.Request) -> web.Response:
        self.queries.append(dict(request.query))
        if self.token and request.headers.get("X-Consul-Token") != self.token:
            return web.Response(status=403, text="Permission denied")
        known = int(request.query.get("index", 0))
        async with self._changed:
            if known:
                await self._changed.wait_for(lambda: self.index != known)
            body, index = self.instances, self.index
        return web.json_response(body, headers={"X-Consul-Index": str(index)})


def instance(address: str, port: int = 80, **service: Any) -> dict[str, Any]:
    return {
        "Node": {"Address": "10.9.9.9"},
        "Service": {
            "Address": address,
            "Port": port,
            "Tags": [],
            "Meta": {},
            "Weights": {"Passing": 1, "Warning": 1},
            **service,
        },
    }


@pytest.fixture
async def agent() -> AsyncIterator[Agent]:
    made = Agent()
    application = web.Application()
    application.add_routes([web.get("/v1/health/service/web", made.health)])
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
async def provider(agent: Agent) -> AsyncIterator[ConsulProvider]:
    made = ConsulProvider(ConsulDiscovery("web", url=agent.url, tag="live", datacenter="east"))
    yield made
    await made.close()


def hosts(found: tuple[Found, ...]) -> list[str]:
    return [each.host for each in found]


async def test_an_answer_comes_when_something_changed(
    agent: Agent, provider: ConsulProvider
) -> None:
    await agent.say(instance("10.0.0.1"))
    assert hosts((await provider.look()).found) == ["10.0.0.1"]
    looking = asyncio.create_task(provider.look())
    while len(agent.queries) < 2:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    assert not looking.done()
    await agent.say(instance("10.0.0.1"), instance("10.0.0.2"))
    assert hosts((await looking).found) == ["10.0.0.1", "10.0.0.2"]
    common = {"passing": "true", "tag": "live", "dc": "east"}
    assert agent.queries == [common, {**common, "index": "11", "wait": "60s"}]


async def test_an_index_that_goes_back_begins_anew(agent: Agent, provider: ConsulProvider) -> None:
    await agent.say(instance("10.0.0.1"))
    await provider.look()
    await agent.say(instance("10.0.0.2"), index=3)
    assert hosts((await provider.look()).found) == ["10.0.0.2"]
    assert hosts((await provider.look()).found) == ["10.0.0.2"]  # at once, without an index
    assert "index" not in agent.queries[-1]


async def test_instances_are_described_by_weights_tags_and_meta(
    agent: Agent, provider: ConsulProvider
) -> None:
    await agent.say(
        instance("", Weights={"Passing": 3}, Tags=["live", "penstock.zone=a"]),
        instance("10.0.0.2", Meta={"penstock_weight": "5", "other": "x"}),
        instance("10.0.0.3", Tags=["penstock.secret=x"]),
    )
    answer = await provider.look()
    assert answer.found == (
        Found("10.9.9.9", 80, weight=3.0, zone="a"),
        Found("10.0.0.2", 80, weight=5.0),
    )
    assert "there is no label 'penstock.secret'" in answer.problems[0]


async def test_a_refusal_is_told(agent: Agent) -> None:
    agent.token = "right"
    for token, right in (("wrong", False), ("right", True)):
        provider = ConsulProvider(
            ConsulDiscovery("web", url=agent.url, headers=(("X-Consul-Token", token),))
        )
        if right:
            assert (await provider.look()).found == ()
        else:
            with pytest.raises(ProviderError, match="web answers 403"):
                await provider.look()
        await provider.close()
