"""Containers as endpoints, with a stand-in for the engine that keeps them."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from msgspec.structs import replace

from penstock.control.background import BackgroundTasks
from penstock.control.events import Events
from penstock.control.scale.actuator import ActuatorError, Tools
from penstock.control.scale.actuators.docker import Docker
from penstock.control.store.files import StateFiles
from penstock.core.snapshot import Endpoint, Scale
from tests.unit.control.conftest import Clock
from tests.unit.control.waiting import until

RULES = Scale(max=4, start_timeout_s=100.0)


class Engine:
    """Creates, starts, lists, stops and removes."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.containers: dict[str, dict[str, Any]] = {}
        self.created: list[dict[str, Any]] = []
        self.stopped: list[str] = []

    def add(self, name: str, labels: dict[str, str]) -> None:
        self.containers[name] = {
            "Id": name,
            "Names": [f"/{name}"],
            "Labels": labels,
            "State": "created",
            "Status": "Created",
            "NetworkSettings": {"Networks": {"bridge": {"IPAddress": "172.17.0.2"}}},
        }

    async def create(self, request: web.Request) -> web.Response:
        body = await request.json()
        if body["Image"] == "missing":
            return web.json_response({"message": "No such image: missing"}, status=404)
        self.created.append(body)
        self.add(request.query["name"], body["Labels"])
        return web.json_response({"Id": request.query["name"]}, status=201)

    async def start(self, request: web.Request) -> web.Response:
        self.containers[request.match_info["id"]]["State"] = "running"
        return web.Response(status=204)

    async def list(self, request: web.Request) -> web.Response:
        (label,) = json.loads(request.query["filters"])["label"]
        key, _, value = label.partition("=")
        fit = [each for each in self.containers.values() if each["Labels"].get(key) == value]
        return web.json_response(fit)

    async def stop(self, request: web.Request) -> web.Response:
        self.stopped.append(request.match_info["id"])
        return web.Response(status=204)

    async def remove(self, request: web.Request) -> web.Response:
        del self.containers[request.match_info["id"]]
        return web.Response(status=204)


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    made = Engine(tmp_path / "docker.sock")
    application = web.Application()
    application.add_routes(
        [
            web.post("/containers/create", made.create),
            web.post("/containers/{id}/start", made.start),
            web.get("/containers/json", made.list),
            web.post("/containers/{id}/stop", made.stop),
            web.delete("/containers/{id}", made.remove),
        ]
    )
    runner = web.AppRunner(application)
    await runner.setup()
    await web.UnixSite(runner, str(made.socket)).start()
    yield made
    await runner.cleanup()


def docker(engine: Engine, events: Events, clock: Clock, image: str = "engine:1") -> Docker:
    async def probe(endpoint: Endpoint, path: str) -> str:
        return ""

    options = {
        "image": image,
        "port": 8000,
        "command": [],
        "environment": {"MODEL": "m"},
        "network": "bridge",
        "gpus": -1,
        "ready": "/health",
        "socket": str(engine.socket),
        "kill_after": 1.0,
    }
    files = StateFiles(None, events)

    async def sleep(seconds: float) -> None:
        pass

    made = Tools(events, BackgroundTasks(events), files, clock, sleep, probe)
    return Docker("main", replace(RULES), options, made)


async def test_a_container_is_created_started_and_ready_once_it_answers(
    engine: Engine, events: Events, clock: Clock
) -> None:
    actuator = docker(engine, events, clock)
    await actuator.look()
    await actuator.start(1)
    (unit,) = actuator.units()
    assert unit.state == "starting"
    await actuator.look()
    (unit,) = actuator.units()
    assert unit.state == "ready"
    assert unit.endpoint is not None
    assert (unit.endpoint.host, unit.endpoint.port) == ("172.17.0.2", 8000)
    (created,) = engine.created
    assert created["Env"] == ["MODEL=m"]
    assert created["HostConfig"]["DeviceRequests"][0]["Count"] == -1


async def test_containers_of_others_are_neither_seen_nor_stopped(
    engine: Engine, events: Events, clock: Clock
) -> None:
    engine.add("theirs", {"penstock.scaled-pool": "another"})
    actuator = docker(engine, events, clock)
    await actuator.start(1)
    (unit,) = actuator.units()
    await actuator.stop("theirs")
    await actuator.stop(unit.name)
    await until(lambda: actuator.units() == [], "it is removed")
    assert engine.stopped == [unit.name]
    assert list(engine.containers) == ["theirs"]


async def test_its_own_are_found_again_after_a_restart(
    engine: Engine, events: Events, clock: Clock
) -> None:
    await docker(engine, events, clock).start(1)
    successor = docker(engine, events, clock)
    await successor.look()
    (unit,) = successor.units()
    assert (unit.state, unit.ready_at) == ("ready", 0.0)


async def test_one_that_exits_has_failed_with_its_status(
    engine: Engine, events: Events, clock: Clock
) -> None:
    actuator = docker(engine, events, clock)
    await actuator.start(1)
    (unit,) = actuator.units()
    engine.containers[unit.name] |= {"State": "exited", "Status": "Exited (137) 2 seconds ago"}
    await actuator.look()
    (unit,) = actuator.units()
    assert unit.state == "failed"
    assert "Exited (137)" in unit.reason


async def test_what_the_engine_refuses_is_said(
    engine: Engine, events: Events, clock: Clock
) -> None:
    with pytest.raises(ActuatorError, match="No such image: missing"):
        await docker(engine, events, clock, "missing").start(1)
    engine.socket = engine.socket.with_name("gone.sock")
    with pytest.raises(ActuatorError, match="does not answer"):
        await docker(engine, events, clock).look()
