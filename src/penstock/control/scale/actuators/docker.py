"""Starts and stops containers of a Docker engine, over its socket.

Only containers that carry this pool's label are ever seen, and so only those are stopped; what a
balancer before this one started is found by it again. Source: the Docker Engine API, version 1.41.
"""

import json
from collections.abc import Mapping
from typing import Any, ClassVar, Final
from uuid import uuid4

from penstock.control.discovery.asking import InventoryClient, RefusedError
from penstock.control.discovery.provider import ProviderError
from penstock.control.scale.actuator import Actuator, ActuatorError, Tools, Unit
from penstock.core.snapshot import Endpoint, Scale

_LABEL: Final = "penstock.scaled-pool"
_TIMEOUT_S: Final = 60.0  # an engine stops a container within its own deadline
_AS_IT_IS: Final = 304  # a container that is to stop has stopped
_LIST_EVERY_S: Final = 10.0  # when nothing is under way


class Docker(Actuator):
    name: ClassVar[str] = "docker"
    where: ClassVar[tuple[str, ...]] = ("socket",)
    makes: ClassVar[tuple[str, ...]] = (
        "image",
        "port",
        "command",
        "environment",
        "network",
        "gpus",
    )

    def __init__(self, pool: str, rules: Scale, options: dict[str, Any], tools: Tools) -> None:
        super().__init__(pool, rules, options, tools)
        self._units: dict[str, Unit] = {}
        self._ids: dict[str, str] = {}
        self._listed_at = -_LIST_EVERY_S
        self._first = True

    def units(self) -> list[Unit]:
        return list(self._units.values())

    async def look(self) -> None:
        now = self.tools.clock()
        moving = any(each.state != "ready" for each in self._units.values())
        if not moving and now - self._listed_at < _LIST_EVERY_S:
            return
        filters = json.dumps({"label": [f"{_LABEL}={self.pool}"]})
        said = await self._ask("GET", "/containers/json", {"all": "true", "filters": filters})
        self._listed_at = now
        found: dict[str, Unit] = {}
        for container in said:
            unit = await self._unit(container, now)
            found[unit.name] = unit
            self._ids[unit.name] = container["Id"]
        self._units = found
        self._first = False

    async def start(self, count: int) -> None:
        for _ in range(count):
            name = f"{self.pool}-{uuid4().hex[:8]}"
            said = await self._ask("POST", "/containers/create", {"name": name}, self._container())
            self._ids[name] = said["Id"]
            self._units[name] = Unit(name, "starting", self.tools.clock())
            await self._ask("POST", f"/containers/{said['Id']}/start")

    async def stop(self, name: str) -> None:
        unit = self._units.get(name)
        if unit is None or unit.state == "stopping":
            return
        unit.state = "stopping"
        self.tools.background.begin(f"stopping {name}", self._remove(name))

    def forget(self, name: str) -> None:
        if name in self._units and self._units[name].state == "failed":
            self.tools.background.begin(f"removing {name}", self._remove(name))
            self._units[name].state = "stopping"

    async def close(self) -> None:
        for unit in list(self._units.values()):
            await self._remove(unit.name)

    async def _unit(self, container: Mapping[str, Any], now: float) -> Unit:
        name = str(container["Names"][0]).lstrip("/")
        before = self._units.get(name)
        unit = before or Unit(name, "starting", now)
        if unit.state in ("stopping", "failed"):
            return unit
        if container["State"] in ("exited", "dead"):
            unit.state, unit.reason = "failed", f"its container is {container['Status']}"
        elif unit.state == "starting" and container["State"] == "running":
            endpoint = self._endpoint(name, container)
            if endpoint is not None and not await self.tools.probe(endpoint, self.options["ready"]):
                unit.state, unit.endpoint = "ready", endpoint
                unit.ready_at = 0.0 if self._first else now
        if unit.state == "starting" and now - unit.since > self.rules.start_timeout_s:
            unit.state, unit.reason = "failed", "did not serve within its `start_timeout`"
        return unit

    def _endpoint(self, name: str, container: Mapping[str, Any]) -> Endpoint | None:
        networks = container["NetworkSettings"]["Networks"]
        address = (networks.get(self.options["network"]) or {}).get("IPAddress")
        if not address:
            return None
        return Endpoint(
            name=name,
            host=address,
            port=self.options["port"],
            max_in_flight=self.rules.max_in_flight,
        )

    def _container(self) -> dict[str, Any]:
        host: dict[str, Any] = {"NetworkMode": self.options["network"]}
        if self.options["gpus"]:
            gpus = {"Driver": "", "Count": self.options["gpus"], "Capabilities": [["gpu"]]}
            host["DeviceRequests"] = [gpus]
        container: dict[str, Any] = {
            "Image": self.options["image"],
            "Env": [f"{key}={value}" for key, value in self.options["environment"].items()],
            "Labels": {_LABEL: self.pool},
            "HostConfig": host,
        }
        if self.options["command"]:
            container["Cmd"] = list(self.options["command"])
        return container

    async def _remove(self, name: str) -> None:
        """Stop it as ``docker stop`` does, and remove it."""
        number = self._ids.get(name)
        if number is None:
            return
        stop_s = str(int(self.options["kill_after"]))
        await self._ask("POST", f"/containers/{number}/stop", {"t": stop_s}, none_is_fine=True)
        await self._ask("DELETE", f"/containers/{number}", none_is_fine=True)
        self._units.pop(name, None)
        self._ids.pop(name, None)

    async def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        *,
        none_is_fine: bool = False,
    ) -> Any:
        """The engine's answer. Raises ActuatorError, with what the engine said."""
        socket = self.options["socket"]
        timeout_s = _TIMEOUT_S + self.options["kill_after"]
        headers = [("Content-Type", "application/json")] if body is not None else []
        data = json.dumps(body).encode() if body is not None else None
        client = InventoryClient(file=socket)
        try:
            said = await client.ask(method, f"http://docker{path}", timeout_s, query, headers, data)
        except RefusedError as error:
            if error.status == _AS_IT_IS or (error.status == 404 and none_is_fine):
                return None
            raise ActuatorError(f"the Docker engine refuses {path}: {error.reason}") from error
        except ProviderError as error:
            raise ActuatorError(f"the Docker engine does not answer: {error}") from error
        finally:
            await client.close()
        try:
            return json.loads(said.body) if said.body else None
        except ValueError as error:
            raise ActuatorError(f"{socket} answers no JSON") from error
