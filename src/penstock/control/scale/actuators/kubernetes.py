"""Changes the number of replicas of a Deployment or StatefulSet, by its scale subresource.

Endpoints are what the pool's `discover: {kubernetes: …}` finds: an endpoint is a pod's by its
address. Whom Kubernetes removes is who was drained:

- of a StatefulSet it is the pod with the highest ordinal;
- of a Deployment the controller takes pods first that are not ready, then those with the least
  ``controller.kubernetes.io/pod-deletion-cost`` (ReplicaSet, "Scaling a ReplicaSet"). So that is
  set just before, and nobody is removed while another would be, nor while a rollout has pods of
  two ReplicaSets, between which the Deployment chooses by itself.

The number is changed on what was read (``resourceVersion``): what others change by hand in the
meantime is adopted. Source: Kubernetes API, autoscaling/v1 Scale and core/v1 Pod.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final, TypeVar
from urllib.parse import quote

import msgspec

from penstock.control.discovery.asking import RefusedError
from penstock.control.discovery.cluster_access import POD, ClusterAccess
from penstock.control.discovery.provider import ProviderError
from penstock.control.scale.actuator import Actuator, ActuatorError, AdoptedError, Tools, Unit
from penstock.control.scale.replicas import Replicas
from penstock.core.snapshot import Scale

_COST: Final = "controller.kubernetes.io/pod-deletion-cost"
_LEAST_COST: Final = -(2**31) + 1
_TIMEOUT_S: Final = 10.0
_TRIES: Final = 3  # at a conflict: the status of a workload changes its version too
_CONFLICT: Final = 409
_MOST_SHOWN: Final = 300
T = TypeVar("T")


class _Meta(msgspec.Struct, rename="camel"):
    name: str = ""
    resource_version: str = ""
    deletion_timestamp: str | None = None
    annotations: dict[str, str] = {}
    labels: dict[str, str] = {}
    owner_references: list[dict[str, Any]] = []


class _ScaleSpec(msgspec.Struct):
    replicas: int = 0


class _ScaleStatus(msgspec.Struct):
    selector: str = ""


class _Scale(msgspec.Struct):
    metadata: _Meta
    spec: _ScaleSpec = msgspec.field(default_factory=_ScaleSpec)
    status: _ScaleStatus = msgspec.field(default_factory=_ScaleStatus)


class _Condition(msgspec.Struct):
    type: str
    status: str
    reason: str = ""
    message: str = ""


class _PodStatus(msgspec.Struct, rename="camel"):
    phase: str = ""
    pod_ip: str = msgspec.field(default="", name="podIP")
    conditions: list[_Condition] = []


class _Pod(msgspec.Struct):
    metadata: _Meta
    status: _PodStatus = msgspec.field(default_factory=_PodStatus)

    @property
    def is_ready(self) -> bool:
        return any(
            each.type == "Ready" and each.status == "True" for each in self.status.conditions
        )

    @property
    def lacks(self) -> str:
        """Why it is not ready, as far as its conditions say."""
        said = [each for each in self.status.conditions if each.status != "True" and each.reason]
        return f"{said[0].reason}: {said[0].message}"[:_MOST_SHOWN] if said else "no reason given"

    @property
    def cost(self) -> int:
        try:
            return int(self.metadata.annotations.get(_COST, "0"))
        except ValueError:
            return 0  # as the controller takes it

    @property
    def owner(self) -> tuple[str, str]:
        """The kind and name of its controller."""
        for each in self.metadata.owner_references:
            if each.get("controller"):
                return str(each.get("kind")), str(each.get("name"))
        return "", ""


class _PodList(msgspec.Struct):
    items: list[_Pod] = []


class Kubernetes(Actuator):
    name: ClassVar[str] = "kubernetes"
    owns: ClassVar[bool] = False

    def __init__(
        self, pool: str, rules: Scale, options: dict[str, Any], tools: Tools, pod: Path = POD
    ) -> None:
        super().__init__(pool, rules, options, tools)
        self._stateful = bool(options["statefulset"])
        self._workload = str(options["statefulset"] or options["deployment"])
        self._access = ClusterAccess(
            options["server"] or "",
            options["namespace"],
            options["token_file"] or "",
            options["ca_file"] or "",
            pod,
            kubeconfig=options.get("kubeconfig") or "",
            context=options.get("context") or "",
        )
        self._client = self._access.client()
        self._replicas = Replicas(self._workload)
        self._pods: dict[str, _Pod] = {}
        self._known: int | None = None  # replicas, as they were read or written last

    def units(self) -> list[Unit]:
        return list(self._replicas.units.values())

    async def look(self) -> None:
        scale = await self._read_scale()
        pods = await self._read_pods(scale.status.selector)
        now = self.tools.clock()
        first = self._known is None
        self._known = scale.spec.replicas
        self._pods = {each.metadata.name: each for each in pods}
        turns = {name: -_ordinal(name) if self._stateful else 0 for name in self._pods}
        for name in self._replicas.follow(turns, scale.spec.replicas, now):
            if self._pods[name].cost == _LEAST_COST:
                await self._mark(name, None)
        can_say = self._stateful or len({each.owner for each in pods}) <= 1
        self.trouble = "" if can_say else "a rollout is under way: nobody is removed meanwhile"
        for name, pod in self._pods.items():
            self._note(self._replicas.units[name], pod, 0.0 if first else now)
        for unit in self._replicas.units.values():
            unit.removable = can_say

    async def start(self, count: int) -> None:
        await self._change(count)
        self._replicas.expect(count, self.tools.clock())

    async def stop(self, name: str) -> None:
        unit = self._replicas.units.get(name)
        if unit is None or unit.state == "stopping":
            return
        scale = await self._read_scale()
        pods = {each.metadata.name: each for each in await self._read_pods(scale.status.selector)}
        pod = pods.get(name)
        if self._replicas.is_awaited(name):
            if len(pods) >= scale.spec.replicas:
                raise AdoptedError(f"{name} has come")
            await self._change(-1)
            del self._replicas.units[name]
            return
        if pod is None:
            return  # it is gone, and whether another comes for it is not for us to say
        awaited = next(
            (each for each in self._replicas.units if self._replicas.is_awaited(each)), ""
        )
        if awaited:
            raise ActuatorError(f"pod {name} is not removed before {awaited} came, which would go")
        if not self._stateful:
            self._check_first(pod, pods)
            await self._mark(name, str(_LEAST_COST))
            try:
                await self._change(-1)
            except ActuatorError:
                await self._mark(name, pod.metadata.annotations.get(_COST))
                raise
        else:
            self._check_highest(name, pods)
            await self._change(-1)
        unit.state = "stopping"

    async def close(self) -> None:
        """What there is stays: it is the cluster's."""
        await self._client.close()

    # --- who is there, and who would go -----------------------------------------------------

    def _note(self, unit: Unit, pod: _Pod, now: float) -> None:
        unit.host = pod.status.pod_ip
        if unit.state == "stopping":
            return
        if pod.is_ready:
            if unit.state != "ready":
                unit.state, unit.ready_at = "ready", now
        else:
            unit.state = "starting"
            if self.tools.clock() - unit.since > self.rules.start_timeout_s:
                name = pod.metadata.name
                self.trouble = f"pod {name} did not get ready in its `start_timeout`: {pod.lacks}"

    def _check_first(self, pod: _Pod, pods: Mapping[str, _Pod]) -> None:
        """Raises ActuatorError where the controller would remove another."""
        name = pod.metadata.name
        if len({each.owner for each in pods.values()}) > 1:
            raise ActuatorError(f"pod {name} is not removed during a rollout")
        for other, each in pods.items():
            unit = self._replicas.units.get(other)
            if other == name or (unit is not None and unit.state == "stopping"):
                continue
            if pod.is_ready and not each.is_ready:
                raise ActuatorError(
                    f"pod {name} cannot be removed: {other} is not ready, and would be in its place"
                )
            if pod.is_ready == each.is_ready and each.cost <= _LEAST_COST:
                raise ActuatorError(
                    f"pod {name} cannot be removed: {other} has the least {_COST} as well; take "
                    "that annotation away"
                )

    def _check_highest(self, name: str, pods: Mapping[str, _Pod]) -> None:
        """Raises ActuatorError where a StatefulSet would remove another."""
        units = self._replicas.units
        staying = [each for each in pods if each not in units or units[each].state != "stopping"]
        highest = max(staying, key=_ordinal)
        if highest != name:
            raise ActuatorError(
                f"pod {name} cannot be removed before {highest}: a StatefulSet removes its highest "
                "ordinal"
            )

    # --- what is asked of the server --------------------------------------------------------

    async def _read_scale(self) -> _Scale:
        said = await self._ask("GET", self._scale_path())
        return _decoded(said, _Scale)

    async def _read_pods(self, selector: str) -> list[_Pod]:
        """Those of the workload that are not about to end. Raises ActuatorError."""
        if not selector:
            raise ActuatorError(f"{self._shown} has no selector in its scale: no pods can be found")
        said = await self._ask("GET", self._path("pods"), query={"labelSelector": selector})
        return [
            each
            for each in _decoded(said, _PodList).items
            if each.metadata.deletion_timestamp is None
            and each.status.phase not in ("Failed", "Succeeded")
            and self._is_mine(each)
        ]

    def _is_mine(self, pod: _Pod) -> bool:
        """Selectors may overlap; who owns a pod is told by it."""
        kind, name = pod.owner
        if self._stateful:
            return (kind, name) == ("StatefulSet", self._workload)
        made = f"{self._workload}-{pod.metadata.labels.get('pod-template-hash', '')}"
        return (kind, name) == ("ReplicaSet", made)

    async def _change(self, by: int) -> None:
        """The number. Raises ActuatorError, also where others have just changed it."""
        for _ in range(_TRIES):
            scale = await self._read_scale()
            if self._known is not None and scale.spec.replicas != self._known:
                raise AdoptedError(
                    f"others changed {self._shown} from {self._known} to {scale.spec.replicas} "
                    "replicas: adopted"
                )
            body = {
                "apiVersion": "autoscaling/v1",
                "kind": "Scale",
                "metadata": {
                    "name": self._workload,
                    "namespace": self._access.namespace,
                    "resourceVersion": scale.metadata.resource_version,
                },
                "spec": {"replicas": max(scale.spec.replicas + by, 0)},
            }
            try:
                await self._ask("PUT", self._scale_path(), body=body)
            except _ConflictError:
                continue
            self._known = max(scale.spec.replicas + by, 0)
            return
        raise ActuatorError(f"{self._shown} changes all the time: it could not be scaled")

    async def _mark(self, name: str, cost: str | None) -> None:
        """Say how soon it is to be removed. Raises ActuatorError."""
        body = {"metadata": {"annotations": {_COST: cost}}}
        await self._ask("PATCH", self._path("pods", name), body=body)

    @property
    def _shown(self) -> str:
        kind = "StatefulSet" if self._stateful else "Deployment"
        return f"{kind} {self._access.namespace}/{self._workload}"

    def _scale_path(self) -> str:
        kind = "statefulsets" if self._stateful else "deployments"
        return "/apis/apps/v1" + self._in_namespace(kind, self._workload, "scale")

    def _path(self, *parts: str) -> str:
        return "/api/v1" + self._in_namespace(*parts)

    def _in_namespace(self, *parts: str) -> str:
        named = ("namespaces", self._access.namespace, *parts)
        return "".join(f"/{quote(each, safe='')}" for each in named)

    async def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> bytes:
        """Raises ActuatorError, with what the server says and what to do about it."""
        merge = "application/merge-patch+json" if method == "PATCH" else "application/json"
        try:
            headers = self._access.headers()
            if body is not None:
                headers = [*headers, ("Content-Type", merge)]
            data = json.dumps(body).encode() if body is not None else None
            url = self._access.url(path)
            said = await self._client.ask(method, url, _TIMEOUT_S, query, headers, data)
        except RefusedError as error:
            if error.status == _CONFLICT:
                raise _ConflictError(str(error)) from error
            raise ActuatorError(self._refusal(error)) from error
        except ProviderError as error:
            raise ActuatorError(str(error)) from error
        return said.body

    def _refusal(self, error: RefusedError) -> str:
        text = f"{error}: {error.reason}"
        kind = "statefulsets" if self._stateful else "deployments"
        if error.status in (401, 403):
            return (
                f"{text}; it needs `get` and `update` of {kind}/scale (apps), and `list` and "
                "`patch` of pods"
            )
        if error.status == 404:
            return f"{text}; look at `{kind[:-1]}` and `namespace`"
        return text


class _ConflictError(ActuatorError):
    """Somebody changed it since it was read."""


def _decoded(said: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(said, type=kind)
    except msgspec.DecodeError as error:
        raise ActuatorError(f"the API server's answer is not understood: {error}") from error


def _ordinal(name: str) -> int:
    number = name.rpartition("-")[2]
    return int(number) if number.isdecimal() else 0
