"""Endpoints that are the ready pods of a Kubernetes Service, by a watch of its EndpointSlices, or
those that a selector of labels chooses, by a watch of pods.

The list is read once; then changes come as they happen. Where the server no longer knows from when
on to tell them (410 Gone), it is read anew.
"""

import json
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final
from urllib.parse import quote

from penstock.control.discovery.asking import RefusedError
from penstock.control.discovery.cluster_access import POD, ClusterAccess
from penstock.control.discovery.kubernetes_objects import of_pods, of_slices
from penstock.control.discovery.provider import Answer, Provider, ProviderError
from penstock.core.snapshot.discovery import KubernetesDiscovery

_LIST_S: Final = 10.0
_WATCH_S: Final = 240  # after which the server ends a watch, and another is begun
_SILENCE_S: Final = _WATCH_S + 30.0
_GONE: Final = 410
_MOST: Final = {"endpointslices": 2000, "pods": 20_000}
_GROUPS: Final = {"endpointslices": "/apis/discovery.k8s.io/v1", "pods": "/api/v1"}


class KubernetesProvider(Provider):
    """Knows the slices, or the pods, and from which version on changes are to be told."""

    name: ClassVar[str] = "kubernetes"

    def __init__(self, settings: KubernetesDiscovery, pod: Path = POD) -> None:
        super().__init__(settings)
        self._asked: KubernetesDiscovery = settings
        self._access = ClusterAccess(
            settings.server,
            settings.namespace,
            settings.token_file,
            settings.ca_file,
            pod,
            kubeconfig=settings.kubeconfig,
            context=settings.context,
        )
        self._client = self._access.client()
        self._resource = "pods" if settings.selector else "endpointslices"
        self._objects: dict[str, Mapping[str, Any]] = {}
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
                group = " (discovery.k8s.io)" if self._resource != "pods" else ""
                hint = f"; it needs `list` and `watch` of {self._resource}{group}"
                raise ProviderError(f"{error}{hint}") from error
            raise
        except ProviderError:
            self._watch = None  # the next one goes on from the version that is known
            raise
        made = of_pods if self._resource == "pods" else of_slices
        return made(self._objects, self._asked)

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
            self._objects = {each["metadata"]["name"]: each for each in listed["items"] or ()}
            self._version = str(listed["metadata"]["resourceVersion"])
        except (KeyError, TypeError) as error:
            raise ProviderError(f"{self._url()} answers no list of {self._resource}") from error
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
        """Whether they are others after it. Raises ProviderError."""
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
            self._objects.pop(name, None)
        else:
            self._objects[name] = what
        self._check_bound()
        return True

    def _begin_anew(self) -> None:
        self._version, self._watch = "", None

    def _check_bound(self) -> None:
        most = _MOST[self._resource]
        if len(self._objects) > most:
            self._begin_anew()
            raise ProviderError(f"there are over {most} {self._resource}")

    # --- where, and who asks ----------------------------------------------------------------

    def _url(self) -> str:
        namespace = quote(self._access.namespace, safe="")
        group = _GROUPS[self._resource]
        return self._access.url(f"{group}/namespaces/{namespace}/{self._resource}")

    def _selector(self) -> dict[str, str]:
        chosen = self._asked.selector or f"kubernetes.io/service-name={self._asked.service}"
        return {"labelSelector": chosen}


def _parsed(data: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ProviderError("the API server answers no JSON") from error
    if not isinstance(value, dict):
        raise ProviderError("the API server answers no object")
    return value
