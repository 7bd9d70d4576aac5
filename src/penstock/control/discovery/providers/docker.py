"""Endpoints that are containers of a Docker engine; it is only ever asked, never told anything.

A container whose own health check fails, or has not passed yet, is none.
"""

import json
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from penstock.config.load.labels import labelled
from penstock.control.discovery.asking import InventoryClient
from penstock.control.discovery.provider import Answer, Provider, ProviderError
from penstock.core.snapshot.discovery import DockerDiscovery, Found

_URL: Final = "http://docker/containers/json"
_TIMEOUT_S: Final = 5.0
PREFIX: Final = "penstock."
# In `Status` of a container that has a health check and is not healthy.
_UNHEALTHY: Final = ("(unhealthy)", "(health: starting)")


class DockerProvider(Provider):
    """Asks for running containers with the labels."""

    name: ClassVar[str] = "docker"

    def __init__(self, settings: DockerDiscovery) -> None:
        super().__init__(settings)
        self._asked: DockerDiscovery = settings
        self._client = InventoryClient(file=settings.socket)

    async def look(self) -> Answer:
        """By what the engine answers now."""
        filters = {"status": ["running"], "label": list(self._asked.labels)}
        said = await self._client.get(_URL, _TIMEOUT_S, {"filters": json.dumps(filters)})
        try:
            containers = json.loads(said.body)
        except (ValueError, RecursionError) as error:
            raise ProviderError(f"{self._asked.socket} answers no JSON") from error
        if not isinstance(containers, list):
            raise ProviderError(f"{self._asked.socket} answers no list of containers")
        found, problems = [], []
        for each in containers:
            try:
                one = self._container(each)
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                problems.append(f"container {_shown(each)}: {error}")
                continue
            if one is not None:
                found.append(one)
        return Answer(tuple(found), self._asked.interval_s, tuple(problems))

    async def close(self) -> None:
        await self._client.close()

    def _container(self, container: Mapping[str, Any]) -> Found | None:
        """Raises ValueError where it is not known where it is."""
        if any(mark in container.get("Status", "") for mark in _UNHEALTHY):
            return None
        found = Found(self._address(container), name=_shown(container))
        found = labelled(found, container.get("Labels") or {}, PREFIX)
        if found.port:
            return found
        ports = {p["PrivatePort"] for p in container.get("Ports") or [] if p.get("Type") == "tcp"}
        if len(ports) == 1:  # else `port` of the configuration, or the reason why there is none
            return labelled(found, {f"{PREFIX}port": ports.pop()}, PREFIX)
        return found

    def _address(self, container: Mapping[str, Any]) -> str:
        networks = container["NetworkSettings"]["Networks"]
        known = {
            name: each.get("IPAddress") or each.get("GlobalIPv6Address")
            for name, each in networks.items()
        }
        known = {name: address for name, address in known.items() if address}
        wanted = self._asked.network
        if wanted:
            if wanted not in known:
                raise ValueError(f"it has no address in the network {wanted!r}")
            return str(known[wanted])
        if len(known) != 1:
            told = f"is in {len(known)} networks ({', '.join(sorted(known))})"
            raise ValueError(
                f"it {told}: name one with `network`" if known else "it has no address"
            )
        return str(next(iter(known.values())))


def _shown(container: Any) -> str:
    names = container.get("Names") if isinstance(container, dict) else None
    return str(names[0]).lstrip("/")[:128] if names else "?"
