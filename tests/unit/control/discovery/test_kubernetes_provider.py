"""A Kubernetes Service, from a stand-in that keeps the API's rules of lists and watches."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from penstock.control.discovery.provider import ProviderError
from penstock.control.discovery.providers.kubernetes import KubernetesProvider
from penstock.core.snapshot.discovery import Found, KubernetesDiscovery

PATH = "/apis/discovery.k8s.io/v1/namespaces/ai/endpointslices"


class Api:
    """Every change has a version; a watch from before ``oldest`` is answered with 410 Gone."""

    def __init__(self) -> None:
        self.version = 100
        self.oldest = 0
        self.slices: dict[str, dict[str, Any]] = {}
        self.events: list[dict[str, Any]] = []
        self.requests: list[dict[str, str]] = []
        self.token = "right"
        self.url = ""
        self.ends_watches = asyncio.Event()
        self._changed = asyncio.Condition()

    async def put(self, name: str, *pods: dict[str, Any], **settings: Any) -> None:
        known = name in self.slices
        self.version += 1
        made = {
            "metadata": {"name": name, "resourceVersion": str(self.version)},
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": 8000}],
            "endpoints": list(pods),
            **settings,
        }
        self.slices[name] = made
        await self._tell("MODIFIED" if known else "ADDED", made)

    async def delete(self, name: str) -> None:
        self.version += 1
        gone = self.slices.pop(name)
        gone["metadata"]["resourceVersion"] = str(self.version)
        await self._tell("DELETED", gone)

    async def bookmark(self) -> None:
        self.version += 1
        await self._tell("BOOKMARK", {"metadata": {"resourceVersion": str(self.version)}})

    async def _tell(self, kind: str, what: dict[str, Any]) -> None:
        async with self._changed:
            self.events.append({"type": kind, "object": json.loads(json.dumps(what))})
            self._changed.notify_all()

    async def end_watches(self) -> None:
        self.ends_watches.set()
        async with self._changed:
            self._changed.notify_all()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(dict(request.query))
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.json_response({"kind": "Status", "code": 401}, status=401)
        assert request.query["labelSelector"] == "kubernetes.io/service-name=llm"
        if "watch" not in request.query:
            version = {"resourceVersion": str(self.version)}
            return web.json_response({"metadata": version, "items": list(self.slices.values())})
        assert request.query["allowWatchBookmarks"] == "true"
        after = int(request.query["resourceVersion"])
        answer = web.StreamResponse()
        await answer.prepare(request)
        if after < self.oldest:
            gone = {"type": "ERROR", "object": {"kind": "Status", "code": 410}}
            await answer.write(json.dumps(gone).encode() + b"\n")
            return answer
        sent = 0
        while not self.ends_watches.is_set():
            for event in self.events[sent:]:
                if int(event["object"]["metadata"]["resourceVersion"]) > after:
                    await answer.write(json.dumps(event).encode() + b"\n")
            sent = len(self.events)
            async with self._changed:
                while len(self.events) == sent and not self.ends_watches.is_set():
                    await self._changed.wait()
        self.ends_watches.clear()
        return answer


def pod(address: str, **settings: Any) -> dict[str, Any]:
    return {"addresses": [address], "conditions": {"ready": True}, **settings}


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    made = Api()
    application = web.Application()
    application.add_routes([web.get(PATH, made.serve)])
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
async def provider(api: Api, tmp_path: Path) -> AsyncIterator[KubernetesProvider]:
    (tmp_path / "token").write_text("right\n")
    made = KubernetesProvider(
        KubernetesDiscovery(
            "llm", namespace="ai", server=api.url, token_file=str(tmp_path / "token")
        )
    )
    yield made
    await made.close()


async def hosts(provider: KubernetesProvider) -> list[str]:
    async with asyncio.timeout(20.0):
        return sorted(each.host for each in (await provider.look()).found)


async def test_the_list_then_changes_as_they_happen(api: Api, provider: KubernetesProvider) -> None:
    await api.put("one", pod("10.0.0.1"))
    assert await hosts(provider) == ["10.0.0.1"]
    await api.put("two", pod("10.0.0.2"))
    assert await hosts(provider) == ["10.0.0.1", "10.0.0.2"]
    await api.put("one", pod("10.0.0.3"))
    assert await hosts(provider) == ["10.0.0.2", "10.0.0.3"]
    await api.delete("two")
    assert await hosts(provider) == ["10.0.0.3"]
    assert ["watch" in each for each in api.requests] == [False, True]


async def test_only_who_is_ready_and_stays_is_an_endpoint(
    api: Api, provider: KubernetesProvider
) -> None:
    await api.put(
        "one",
        pod("10.0.0.1", targetRef={"name": "llm-0"}, zone="a"),
        pod("10.0.0.2", conditions={"ready": False}),
        pod("10.0.0.3", conditions={"ready": True, "terminating": True}),
        pod("10.0.0.4", conditions={}),
    )
    await api.put("six", pod("fd00::1"), addressType="IPv6")
    answer = await provider.look()
    assert answer.found == (
        Found("10.0.0.1", 8000, name="llm-0", zone="a"),
        Found("10.0.0.4", 8000),
    )


async def test_a_watch_that_ended_goes_on_from_the_last_bookmark(
    api: Api, provider: KubernetesProvider
) -> None:
    await api.put("one", pod("10.0.0.1"))
    await hosts(provider)
    looking = asyncio.create_task(hosts(provider))
    while len(api.requests) < 2:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    await api.bookmark()
    version = api.version
    await api.put("one", pod("10.0.0.2"))
    assert await looking == ["10.0.0.2"]
    await api.end_watches()
    assert await hosts(provider) == ["10.0.0.2"]  # the end of the watch
    await api.put("one", pod("10.0.0.3"))
    assert await hosts(provider) == ["10.0.0.3"]
    assert int(api.requests[-1]["resourceVersion"]) == version + 1


async def test_gone_is_read_anew(api: Api, provider: KubernetesProvider) -> None:
    await api.put("one", pod("10.0.0.1"))
    await hosts(provider)
    await api.put("one", pod("10.0.0.2"))
    api.oldest = api.version + 1  # what happened since is not known any more
    assert await hosts(provider) == ["10.0.0.1"]
    assert await hosts(provider) == ["10.0.0.2"]
    assert ["watch" in each for each in api.requests] == [False, True, False]


async def test_the_token_is_read_again_for_every_request(
    api: Api, provider: KubernetesProvider, tmp_path: Path
) -> None:
    await api.put("one", pod("10.0.0.1"))
    api.token = "new"
    with pytest.raises(ProviderError, match=r"answers 401; it needs `list` and `watch`"):
        await provider.look()
    (tmp_path / "token").write_text("new")
    assert await hosts(provider) == ["10.0.0.1"]


async def test_ports_are_chosen_by_name(api: Api, provider: KubernetesProvider) -> None:
    ports = [{"name": "http", "port": 80}, {"name": "metrics", "port": 81}]
    await api.put("one", pod("10.0.0.1"), ports=ports)
    answer = await provider.look()
    assert answer.found == ()
    assert "several ports (http, metrics): name one with `port_name`" in answer.problems[0]


async def test_outside_of_a_cluster_the_server_is_to_be_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ProviderError, match="give `server` and `token_file`"):
        await KubernetesProvider(KubernetesDiscovery("llm")).look()
