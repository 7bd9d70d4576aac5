"""A stand-in for a Kubernetes API server, with one workload and the controller that keeps it."""

import json
from typing import Any

from aiohttp import web

COST = "controller.kubernetes.io/pod-deletion-cost"


class Cluster:
    """Keeps the API's rules: versions and conflicts, who may do what, who is removed first."""

    def __init__(self, kind: str = "deployments", replicas: int = 0) -> None:
        self.kind = kind
        self.url = ""
        self.version = 1
        self.replicas = replicas
        self.pods: dict[str, dict[str, Any]] = {}
        self.removed: list[str] = []
        self.allowed = {"scale", "pods"}
        self.conflicts = 0  # so many more writes come too late
        self.replica_set = "5c9"
        self._made = 0

    def reconcile(self, *, ready: bool = True) -> None:
        """What the controller does: create who is missing, delete who is too many."""
        while len(self.pods) < self.replicas:
            self._create(ready=ready)
        while len(self.pods) > self.replicas:
            victim = min(self.pods, key=self._rank)
            self.removed.append(victim)
            del self.pods[victim]

    def _create(self, *, ready: bool) -> None:
        self._made += 1
        name = f"llm-{self.replica_set}-{self._made}"
        owner = {"kind": "ReplicaSet", "name": f"llm-{self.replica_set}", "controller": True}
        if self.kind == "statefulsets":
            name = f"llm-{next(n for n in range(99) if f'llm-{n}' not in self.pods)}"
            owner = {"kind": "StatefulSet", "name": "llm", "controller": True}
        self.pods[name] = {
            "metadata": {
                "name": name,
                "labels": {"app": "llm", "pod-template-hash": self.replica_set},
                "annotations": {},
                "ownerReferences": [owner],
            },
            "status": {"phase": "Running", "podIP": f"10.0.0.{self._made}"},
        }
        self.make_ready(name, ready=ready)

    def make_ready(self, name: str, *, ready: bool = True) -> None:
        said = {"type": "Ready", "status": str(ready)}
        if not ready:
            said |= {"reason": "ContainersNotReady", "message": "pulling the image"}
        self.pods[name]["status"]["conditions"] = [said]

    def _rank(self, name: str) -> tuple[Any, ...]:
        """Who is removed first (ReplicaSet and StatefulSet controllers)."""
        if self.kind == "statefulsets":
            return (-int(name.rpartition("-")[2]),)
        pod = self.pods[name]
        ready = pod["status"]["conditions"][0]["status"] == "True"
        return (ready, int(pod["metadata"]["annotations"].get(COST, 0)))

    def routes(self) -> list[web.RouteDef]:
        scale = "/apis/apps/v1/namespaces/ai/{kind}/{name}/scale"
        return [
            web.get(scale, self.get_scale),
            web.put(scale, self.put_scale),
            web.get("/api/v1/namespaces/ai/pods", self.list_pods),
            web.patch("/api/v1/namespaces/ai/pods/{name}", self.patch_pod),
        ]

    def _refused(self, request: web.Request, what: str) -> web.Response | None:
        if request.headers.get("Authorization") != "Bearer right" or what not in self.allowed:
            return _status(403, f'User "penstock" cannot {request.method.lower()} {what}')
        if what == "scale" and (
            request.match_info["kind"] != self.kind or request.match_info["name"] != "llm"
        ):
            return _status(404, f'{self.kind} "{request.match_info["name"]}" not found')
        return None

    async def get_scale(self, request: web.Request) -> web.Response:
        return self._refused(request, "scale") or web.json_response(
            {
                "metadata": {"name": "llm", "resourceVersion": str(self.version)},
                "spec": {"replicas": self.replicas},
                "status": {"replicas": len(self.pods), "selector": "app=llm"},
            }
        )

    async def put_scale(self, request: web.Request) -> web.Response:
        if refused := self._refused(request, "scale"):
            return refused
        body = await request.json()
        if self.conflicts:
            self.conflicts -= 1
            self.version += 1
        if body["metadata"]["resourceVersion"] != str(self.version):
            return _status(409, "the object has been modified")
        self.version += 1
        self.replicas = body["spec"]["replicas"]
        return await self.get_scale(request)

    async def list_pods(self, request: web.Request) -> web.Response:
        assert request.query["labelSelector"] == "app=llm"
        return self._refused(request, "pods") or web.json_response(
            {"metadata": {}, "items": list(self.pods.values())}
        )

    async def patch_pod(self, request: web.Request) -> web.Response:
        if refused := self._refused(request, "pods"):
            return refused
        assert request.content_type == "application/merge-patch+json"
        pod = self.pods[request.match_info["name"]]
        for key, value in json.loads(await request.text())["metadata"]["annotations"].items():
            pod["metadata"]["annotations"].pop(key, None)
            if value is not None:
                pod["metadata"]["annotations"][key] = value
        return web.json_response(pod)


def _status(code: int, message: str) -> web.Response:
    return web.json_response({"kind": "Status", "code": code, "message": message}, status=code)
