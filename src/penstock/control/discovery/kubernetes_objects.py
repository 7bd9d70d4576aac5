"""What EndpointSlices and pods say of endpoints. A problem of one of them is told, and holds up
none of the others."""

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any, Final

from penstock.config.load.labels import labelled
from penstock.control.discovery.provider import Answer
from penstock.core.snapshot.discovery import Found, KubernetesDiscovery

_PREFIX: Final = "penstock."  # of annotations
_ZONE: Final = "topology.kubernetes.io/zone"
_LONGEST_NAME: Final = 128
_WRONG: Final = (KeyError, IndexError, TypeError, ValueError, AttributeError)
Objects = Mapping[str, Mapping[str, Any]]


def of_slices(slices: Objects, asked: KubernetesDiscovery) -> Answer:
    """The endpoints of a Service that are ready."""
    found: dict[tuple[str, int], Found] = {}
    problems = []
    for name, each in slices.items():
        if each.get("addressType") != asked.family:
            continue
        try:
            port = _port(each.get("ports") or (), "port", asked.port_name)
            for endpoint in each.get("endpoints") or ():
                if _is_ready(endpoint.get("conditions") or {}):
                    host = str(endpoint["addresses"][0])
                    pod = str((endpoint.get("targetRef") or {}).get("name") or "")
                    zone = str(endpoint.get("zone") or "")
                    found[host, port] = Found(host, port, name=pod[:_LONGEST_NAME], zone=zone)
        except _WRONG as error:
            problems.append(f"EndpointSlice {name}: {error}")
    return Answer(tuple(found.values()), problems=tuple(problems))


def of_pods(pods: Objects, asked: KubernetesDiscovery) -> Answer:
    """Pods that are ready, and not being terminated."""
    found: dict[tuple[str, int], Found] = {}
    problems = []
    for name, each in pods.items():
        try:
            metadata, status = each["metadata"], each.get("status") or {}
            conditions = status.get("conditions") or ()
            ready = any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)
            if not ready or metadata.get("deletionTimestamp"):
                continue
            host = _address(status, asked.family)
            if not host:
                continue
            zone = str((metadata.get("labels") or {}).get(_ZONE) or "")
            pod = Found(host, name=name[:_LONGEST_NAME], zone=zone)
            pod = labelled(pod, metadata.get("annotations") or {}, _PREFIX)
            port = pod.port or _port(_container_ports(each), "containerPort", asked.port_name)
            found[host, port] = Found(
                host, port, weight=pod.weight, zone=pod.zone, name=pod.name, models=pod.models
            )
        except _WRONG as error:
            problems.append(f"pod {name}: {error}")
    return Answer(tuple(found.values()), problems=tuple(problems))


def _is_ready(conditions: Mapping[str, Any]) -> bool:
    """Not said counts as ready (the API's own rule); who is being terminated finishes."""
    return conditions.get("ready") is not False and conditions.get("terminating") is not True


def _address(status: Mapping[str, Any], family: str) -> str:
    """The pod's of that family; empty: it has none (yet)."""
    given = [str(each["ip"]) for each in status.get("podIPs") or () if each.get("ip")]
    version = 4 if family == "IPv4" else 6
    for host in given or [str(status.get("podIP") or "")]:
        if host and ipaddress.ip_address(host).version == version:
            return host
    return ""


def _container_ports(pod: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [
        port
        for container in (pod.get("spec") or {}).get("containers") or ()
        for port in container.get("ports") or ()
        if port.get("protocol", "TCP") == "TCP"
    ]


def _port(listed: Iterable[Mapping[str, Any]], key: str, wanted: str) -> int:
    """Raises ValueError. 0: none is said."""
    ports = [(str(each.get("name") or ""), int(each.get(key) or 0)) for each in listed]
    names = ", ".join(name or str(port) for name, port in ports)
    if wanted:
        for name, port in ports:
            if name == wanted:
                return port
        raise ValueError(f"it has no port {wanted!r}; there are: {names or 'none'}")
    if len(ports) > 1:
        raise ValueError(f"it has several ports ({names}): name one with `port_name`")
    return ports[0][1] if ports else 0
