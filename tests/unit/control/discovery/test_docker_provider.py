"""Containers of a Docker engine, from a stand-in that filters as the engine does."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from penstock.control.discovery.provider import Answer, ProviderError
from penstock.control.discovery.providers.docker import DockerProvider
from penstock.core.snapshot.discovery import DockerDiscovery, Found


class Engine:
    """Answers ``GET /containers/json`` by state and labels, over a socket of the file system."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.containers: list[dict[str, Any]] = []
        self.asked: list[str] = []

    def run(
        self,
        name: str,
        address: str = "172.17.0.2",
        *,
        labels: dict[str, str] | None = None,
        status: str = "Up 3 minutes",
        state: str = "running",
        ports: tuple[int, ...] = (8000,),
        networks: dict[str, str] | None = None,
    ) -> None:
        self.containers.append(
            {
                "Id": name * 8,
                "Names": [f"/{name}"],
                "Labels": {"app": "web", **(labels or {})},
                "State": state,
                "Status": status,
                "Ports": [{"PrivatePort": port, "Type": "tcp"} for port in ports],
                "NetworkSettings": {
                    "Networks": {
                        network: {"IPAddress": given}
                        for network, given in (networks or {"bridge": address}).items()
                    }
                },
            }
        )

    async def list_containers(self, request: web.Request) -> web.Response:
        self.asked.append(f"{request.method} {request.path}")
        filters = json.loads(request.query["filters"])

        def fits(container: dict[str, Any]) -> bool:
            if container["State"] not in filters["status"]:
                return False
            labels = container["Labels"]
            return all(
                labels.get(key) == value if equals else key in labels
                for key, equals, value in (each.partition("=") for each in filters["label"])
            )

        return web.json_response([each for each in self.containers if fits(each)])


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    made = Engine(tmp_path / "docker.sock")
    application = web.Application()
    application.add_routes([web.route("*", "/containers/json", made.list_containers)])
    runner = web.AppRunner(application)
    await runner.setup()
    await web.UnixSite(runner, str(made.socket)).start()
    yield made
    await runner.cleanup()


async def look(engine: Engine, **settings: Any) -> Answer:
    asked = {"labels": ("app=web",), "socket": str(engine.socket), **settings}
    provider = DockerProvider(DockerDiscovery(**asked))
    try:
        return await provider.look()
    finally:
        await provider.close()


async def test_running_containers_with_the_labels_are_endpoints(engine: Engine) -> None:
    engine.run("one")
    engine.run("two", "172.17.0.3", labels={"app": "other"})
    engine.run("gone", "172.17.0.4", state="exited")
    answer = await look(engine)
    assert answer.found == (Found("172.17.0.2", 8000, name="one"),)
    assert engine.asked == ["GET /containers/json"]


async def test_labels_describe_an_endpoint_and_do_nothing_else(engine: Engine) -> None:
    engine.run(
        "one",
        labels={
            "penstock.port": "81",
            "penstock.weight": "2",
            "penstock.zone": "a",
            "penstock.models": "m, n",
            "com.example": "x",
        },
        ports=(80, 81),
    )
    engine.run("two", "172.17.0.3", labels={"penstock.command": "rm"})
    answer = await look(engine)
    assert answer.found == (
        Found("172.17.0.2", 81, weight=2.0, zone="a", name="one", models=("m", "n")),
    )
    assert "container two: there is no label 'penstock.command'" in answer.problems[0]


async def test_an_unhealthy_container_is_none(engine: Engine) -> None:
    engine.run("one", status="Up 3 minutes (healthy)")
    engine.run("two", "172.17.0.3", status="Up 3 minutes (unhealthy)")
    engine.run("three", "172.17.0.4", status="Up 1 second (health: starting)")
    assert [each.name for each in (await look(engine)).found] == ["one"]


async def test_the_network_is_named_where_there_are_several(engine: Engine) -> None:
    engine.run("one", networks={"front": "10.0.0.1", "back": "10.1.0.1"})
    assert (
        "is in 2 networks (back, front): name one with `network`"
        in ((await look(engine)).problems[0])
    )
    assert [each.host for each in (await look(engine, network="back")).found] == ["10.1.0.1"]
    assert (
        "no address in the network 'nowhere'"
        in ((await look(engine, network="nowhere")).problems[0])
    )


async def test_without_one_port_the_configuration_says_it(engine: Engine) -> None:
    engine.run("one", ports=(80, 81))
    assert (await look(engine)).found == (Found("172.17.0.2", 0, name="one"),)


async def test_an_engine_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match=r"docker\.sock"):
        await look(Engine(tmp_path / "docker.sock"))
