"""A Kubernetes Service, from a stand-in that keeps the API's rules of lists and watches."""

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web

from penstock.control.discovery.provider import ProviderError
from penstock.control.discovery.providers.kubernetes import KubernetesProvider
from penstock.core.snapshot.discovery import Found, KubernetesDiscovery

PATH = "/apis/discovery.k8s.io/v1/namespaces/ai/endpointslices"


PODS = "/api/v1/namespaces/ai/pods"


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
        known_as = {"name": name, "resourceVersion": str(self.version)}
        made = {
            "metadata": settings.pop("metadata", {}) | known_as,
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
        by = {PATH: "kubernetes.io/service-name=llm", PODS: "app=llm"}
        assert request.query["labelSelector"] == by[request.path]
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
    application.add_routes([web.get(PATH, made.serve), web.get(PODS, made.serve)])
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
    with pytest.raises(ProviderError, match="give `kubeconfig`, or `server` and `token_file`"):
        await KubernetesProvider(KubernetesDiscovery("llm")).look()


def whole_pod(address: str, *, ready: str = "True", **metadata: Any) -> dict[str, Any]:
    port = {"name": "http", "containerPort": 8000}
    return {
        "metadata": {"name": "", **metadata},
        "spec": {"containers": [{"ports": [port]}, {}]},
        "status": {"podIP": address, "conditions": [{"type": "Ready", "status": ready}]},
    }


async def test_pods_that_a_selector_chooses(api: Api, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("right")
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text(
        f"""
current-context: lab
clusters: [{{name: lab, cluster: {{server: "{api.url}"}}}}]
users: [{{name: me, user: {{tokenFile: token}}}}]
contexts: [{{name: lab, context: {{cluster: lab, user: me, namespace: ai}}}}]
"""
    )
    provider = KubernetesProvider(
        KubernetesDiscovery(selector="app=llm", kubeconfig=str(kubeconfig))
    )
    zone = {"topology.kubernetes.io/zone": "a"}
    await api.put("llm-0", **whole_pod("10.0.0.1", labels=zone))
    await api.put("llm-1", **whole_pod("10.0.0.2", ready="False"))
    await api.put("llm-2", **whole_pod("10.0.0.3", deletionTimestamp="2026-01-01T00:00:00Z"))
    said = {"penstock.port": "81", "penstock.weight": "2", "other/key": "x"}
    await api.put("llm-3", **whole_pod("10.0.0.4", annotations=said))
    await api.put("llm-4", **whole_pod("10.0.0.5", annotations={"penstock.prot": "81"}))
    await api.put("llm-5", **whole_pod(""))
    answer = await provider.look()
    assert answer.found == (
        Found("10.0.0.1", 8000, zone="a", name="llm-0"),
        Found("10.0.0.4", 81, weight=2.0, name="llm-3"),
    )
    assert len(answer.problems) == 1
    assert "did you mean 'penstock.port'" in answer.problems[0]
    await api.put("llm-1", **whole_pod("10.0.0.2"))
    assert await hosts(provider) == ["10.0.0.1", "10.0.0.2", "10.0.0.4"]
    await api.delete("llm-0")
    assert await hosts(provider) == ["10.0.0.2", "10.0.0.4"]
    kubeconfig.write_text("a: [")
    await api.end_watches()
    await provider.look()
    with pytest.raises(ProviderError, match=r"config.*not YAML"):
        await provider.look()
    await provider.close()


async def test_a_kubeconfigs_certificate_is_shown_to_the_server_that_it_vouches_for(
    tmp_path: Path,
) -> None:
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("k8s.internal").configure_cert(server)
    authority.configure_trust(server)
    server.verify_mode = ssl.CERT_REQUIRED
    seen: list[object] = []

    async def serve(request: web.Request) -> web.Response:
        assert request.transport is not None
        seen.append(request.transport.get_extra_info("peercert"))
        return web.json_response({"metadata": {"resourceVersion": "1"}, "items": []})

    application = web.Application()
    application.add_routes([web.get(PATH, serve)])
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server).start()
    mine = authority.issue_cert("me@example.com")
    cluster = {
        "server": f"https://127.0.0.1:{runner.addresses[0][1]}",
        "tls-server-name": "k8s.internal",
        "certificate-authority-data": encoded(authority.cert_pem),
    }
    user = {
        "client-certificate-data": encoded(mine.cert_chain_pems[0]),
        "client-key-data": encoded(mine.private_key_pem),
    }
    document = {
        "current-context": "lab",
        "clusters": [{"name": "lab", "cluster": cluster}],
        "users": [{"name": "me", "user": user}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "me"}}],
    }
    (tmp_path / "config").write_text(json.dumps(document))
    provider = KubernetesProvider(
        KubernetesDiscovery("llm", namespace="ai", kubeconfig=str(tmp_path / "config"))
    )
    assert (await provider.look()).found == ()
    assert len(seen) == 1
    assert seen[0]
    await provider.close()
    await runner.cleanup()


def encoded(pem: trustme.Blob) -> str:
    return base64.b64encode(pem.bytes()).decode()
