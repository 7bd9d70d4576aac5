"""Endpoints that are the ready pods of a Kubernetes Service, by a watch of its EndpointSlices.

The list is read once; then changes come as they happen. Where the server no longer knows from when
on to tell them (410 Gone), it is read anew.
"""

import json
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final
from urllib.parse import quote

from penstock.control.discovery.asking import InventoryClient, RefusedError
from penstock.control.discovery.cluster_access import POD, ClusterAccess
from penstock.control.discovery.provider import Answer, Provider, ProviderError
from penstock.core.snapshot.discovery import Found, KubernetesDiscovery

_LIST_S: Final = 10.0
_WATCH_S: Final = 240  # after which the server ends a watch, and another is begun
_SILENCE_S: Final = _WATCH_S + 30.0
_GONE: Final = 410
_MOST_SLICES: Final = 2000


class KubernetesProvider(Provider):
    """Knows the slices, and from which version on changes are to be told."""

    name: ClassVar[str] = "kubernetes"

    def __init__(self, settings: KubernetesDiscovery, pod: Path = POD) -> None:
        super().__init__(settings)
        self._asked: KubernetesDiscovery = settings
        self._access = ClusterAccess(
            settings.server, settings.namespace, settings.token_file, settings.ca_file, pod
        )
        self._client = InventoryClient(ca_file=self._access.ca_file)
        self._slices: dict[str, Mapping[str, Any]] = {}
        self._version = ""  # empty: the list is to be read
        self._watch: AsyncGenerator[bytes, None] | None = None

    async def look(self) -> Answer:
        """The list, or what it is after the next change."""
        try:
            if not self._version:
                await self._read_list()
            else:
                await self._next_change()
        except RefusedError as error:
            self._begin_anew()
            if error.status in (401, 403):
                hint = "; it needs `list` and `watch` of endpointslices (discovery.k8s.io)"
                raise ProviderError(f"{error}{hint}") from error
            raise
        except ProviderError:
            self._watch = None  # the next one goes on from the version that is known
            raise
        return self._answer()

    async def close(self) -> None:
        if self._watch is not None:
            await self._watch.aclose()
        await self._client.close()

    # --- what the server says ---------------------------------------------------------------

    async def _read_list(self) -> None:
        said = await self._client.get(
            self._url(), _LIST_S, self._selector(), self._access.headers()
        )
        listed = _parsed(said.body)
        try:
            self._slices = {each["metadata"]["name"]: each for each in listed["items"] or ()}
            self._version = str(listed["metadata"]["resourceVersion"])
        except (KeyError, TypeError) as error:
            raise ProviderError(f"{self._url()} answers no list of EndpointSlices") from error
        self._check_bound()

    async def _next_change(self) -> None:
        """Return after one, and after the end of a watch."""
        if self._watch is None:
            query = {
                "watch": "true",
                "allowWatchBookmarks": "true",
                "resourceVersion": self._version,
                "timeoutSeconds": str(_WATCH_S),
            }
            query |= self._selector()
            self._watch = self._client.lines(self._url(), _SILENCE_S, query, self._access.headers())
        async for line in self._watch:
            if line.strip() and self._take(_parsed(line)):
                return
        self._watch = None

    def _take(self, event: Mapping[str, Any]) -> bool:
        """Whether slices are others after it. Raises ProviderError."""
        kind, what = event.get("type"), event.get("object")
        if kind == "ERROR" or not isinstance(what, dict):
            code = what.get("code", 0) if isinstance(what, dict) else 0
            self._begin_anew()
            if code == _GONE:
                return True
            raise ProviderError(f"the watch ended: {str(event)[:200]}")
        try:
            self._version = str(what["metadata"]["resourceVersion"])
            if kind == "BOOKMARK":
                return False
            name = str(what["metadata"]["name"])
        except (KeyError, TypeError) as error:
            raise ProviderError("the watch tells something without a name or version") from error
        if kind == "DELETED":
            self._slices.pop(name, None)
        else:
            self._slices[name] = what
        self._check_bound()
        return True

    def _begin_anew(self) -> None:
        self._version, self._watch = "", None

    def _check_bound(self) -> None:
        if len(self._slices) > _MOST_SLICES:
            self._begin_anew()
            raise ProviderError(f"there are over {_MOST_SLICES} EndpointSlices")

    # --- what is made of it -----------------------------------------------------------------

    def _answer(self) -> Answer:
        found: dict[tuple[str, int], Found] = {}
        problems = []
        for name, each in self._slices.items():
            if each.get("addressType") != self._asked.family:
                continue
            try:
                port = self._port(each)
                for endpoint in each.get("endpoints") or ():
                    if _is_ready(endpoint.get("conditions") or {}):
                        host = str(endpoint["addresses"][0])
                        pod = str((endpoint.get("targetRef") or {}).get("name") or "")
                        zone = str(endpoint.get("zone") or "")
                        found[host, port] = Found(host, port, name=pod[:128], zone=zone)
            except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
                problems.append(f"EndpointSlice {name}: {error}")
        return Answer(tuple(found.values()), problems=tuple(problems))

    def _port(self, found: Mapping[str, Any]) -> int:
        """Raises ValueError. 0: the slice says none."""
        ports = {str(each.get("name") or ""): each.get("port") for each in found.get("ports") or ()}
        wanted = self._asked.port_name
        if wanted and wanted not in ports:
            raise ValueError(f"it has no port {wanted!r}; there are: {', '.join(ports)}")
        if not wanted and len(ports) > 1:
            raise ValueError(
                f"it has several ports ({', '.join(ports)}): name one with `port_name`"
            )
        port = ports[wanted] if wanted else next(iter(ports.values()), None)
        return int(port or 0)

    # --- where, and who asks ----------------------------------------------------------------

    def _url(self) -> str:
        namespace = quote(self._access.namespace, safe="")
        return self._access.url(f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices")

    def _selector(self) -> dict[str, str]:
        return {"labelSelector": f"kubernetes.io/service-name={self._asked.service}"}


def _is_ready(conditions: Mapping[str, Any]) -> bool:
    """Not said counts as ready (the API's own rule); who is being terminated finishes."""
    return conditions.get("ready") is not False and conditions.get("terminating") is not True


def _parsed(data: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ProviderError("the API server answers no JSON") from error
    if not isinstance(value, dict):
        raise ProviderError("the API server answers no object")
    return value
