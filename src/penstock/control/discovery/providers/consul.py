"""Endpoints that are the passing instances of a service in Consul, by its blocking queries: an
answer comes when something changed, or after a while."""

import json
from collections.abc import Mapping
from typing import Any, ClassVar, Final
from urllib.parse import quote

from penstock.config.load.labels import labelled
from penstock.control.discovery.asking import InventoryClient
from penstock.control.discovery.provider import Answer, Provider, ProviderError
from penstock.core.snapshot.discovery import ConsulDiscovery, Found

_WAIT_S: Final = 60
_SLACK_S: Final = 10.0  # Consul adds a sixteenth of the wait, so that not all come back at once
_PAUSE_S: Final = 0.1  # between two answers, where there is one change after another
TAG_PREFIX: Final = "penstock."  # of tags: ``penstock.weight=2``
META_PREFIX: Final = "penstock_"


class ConsulProvider(Provider):
    """Knows the index of the answer that it had last."""

    name: ClassVar[str] = "consul"

    def __init__(self, settings: ConsulDiscovery) -> None:
        super().__init__(settings)
        self._asked: ConsulDiscovery = settings
        self._client = InventoryClient(settings.headers, settings.ca_file)
        self._index = 0

    async def look(self) -> Answer:
        """As soon as it is another one than the one before."""
        query = {"passing": "true"}
        if self._asked.tag:
            query["tag"] = self._asked.tag
        if self._asked.datacenter:
            query["dc"] = self._asked.datacenter
        if self._index:
            query |= {"index": str(self._index), "wait": f"{_WAIT_S}s"}
        service = quote(self._asked.service, safe="")
        url = f"{self._asked.url.rstrip('/')}/v1/health/service/{service}"
        try:
            said = await self._client.get(url, _WAIT_S + _SLACK_S, query)
        except ProviderError:
            self._index = 0  # whatever it was, the next answer is to come at once
            raise
        self._note_index(said.headers.get("X-Consul-Index", ""))
        try:
            instances = json.loads(said.body)
        except (ValueError, RecursionError) as error:
            raise ProviderError(f"{url} answers no JSON") from error
        if not isinstance(instances, list):
            raise ProviderError(f"{url} answers no list of instances")
        found, problems = [], []
        for each in instances:
            try:
                found.append(_instance(each))
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                problems.append(f"an instance of {self._asked.service}: {error}")
        return Answer(tuple(found), _PAUSE_S, tuple(problems))

    async def close(self) -> None:
        await self._client.close()

    def _note_index(self, told: str) -> None:
        """It begins anew where it goes back, as after Consul's state was restored, and is never 0,
        which would not wait."""
        index = int(told) if told.isascii() and told.isdigit() else 0
        self._index = max(index, 1) if index >= self._index else 0


def _instance(entry: Mapping[str, Any]) -> Found:
    """Raises ValueError."""
    service = entry["Service"]
    address = service.get("Address") or entry["Node"]["Address"]
    weight = (service.get("Weights") or {}).get("Passing")
    found = Found(
        str(address),
        int(service.get("Port") or 0),
        weight=float(weight) if weight is not None else None,
    )
    tags = dict(str(tag).partition("=")[::2] for tag in service.get("Tags") or () if "=" in tag)
    found = labelled(found, tags, TAG_PREFIX)
    return labelled(found, service.get("Meta") or {}, META_PREFIX)
