"""Where endpoints of a pool are found while it runs. What each provider is told is tagged with its
name."""

from __future__ import annotations

from typing import Literal, TypeAlias

from penstock.core.snapshot.address import shown_address, socket_path
from penstock.core.snapshot.data import Data
from penstock.core.snapshot.endpoint import Endpoint

Records: TypeAlias = Literal["A", "AAAA", "A+AAAA", "SRV"]


class DnsDiscovery(Data, frozen=True, tag="dns"):
    name: str
    record: Records = "A+AAAA"
    servers: tuple[tuple[str, int], ...] = ()  # addresses and ports; empty: the system's
    least_ttl_s: float = 1.0
    most_ttl_s: float = 60.0
    timeout_s: float = 5.0  # of one look-up, all servers tried


class FileDiscovery(Data, frozen=True, tag="file"):
    path: str  # the last part may hold * and ?
    interval_s: float = 0.5  # between two looks at whether it changed


class HttpDiscovery(Data, frozen=True, tag="http"):
    url: str
    interval_s: float = 30.0
    timeout_s: float = 5.0
    headers: tuple[tuple[str, str], ...] = ()
    ca_file: str = ""  # empty: the system's


class DockerDiscovery(Data, frozen=True, tag="docker"):
    labels: tuple[str, ...] = ()  # that containers have: ``key`` or ``key=value``
    socket: str = "/var/run/docker.sock"
    network: str = ""  # whose addresses are used; empty: a container's only one
    interval_s: float = 1.0


class ConsulDiscovery(Data, frozen=True, tag="consul"):
    service: str
    url: str = "http://127.0.0.1:8500"
    tag: str = ""  # that instances have
    datacenter: str = ""  # empty: the agent's own
    headers: tuple[tuple[str, str], ...] = ()
    ca_file: str = ""


class KubernetesDiscovery(Data, frozen=True, tag="kubernetes"):
    """Of a Service, or of the pods that a selector of labels chooses."""

    service: str = ""
    selector: str = ""
    namespace: str = ""  # empty: that of the pod that Penstock runs in
    port_name: str = ""  # empty: a service's only port
    family: Literal["IPv4", "IPv6"] = "IPv4"
    server: str = ""  # empty: that of the cluster that Penstock runs in, with its token
    token_file: str = ""
    ca_file: str = ""
    kubeconfig: str = ""  # a file that says the last three, and more
    context: str = ""  # of it; empty: its current one


ProviderSettings: TypeAlias = (
    DnsDiscovery
    | FileDiscovery
    | HttpDiscovery
    | DockerDiscovery
    | ConsulDiscovery
    | KubernetesDiscovery
)


class Discovery(Data, frozen=True):
    """One of a pool's, and what endpoints are like of which it says no more than the address."""

    settings: ProviderSettings
    scheme: Literal["http", "https", "h2c", "tcp", "udp"] = "http"
    port: int = 0  # 0: the provider says it
    weight: float = 1.0
    zone: str = ""
    priority: int = 0
    backup: bool = False
    models: tuple[str, ...] = ()
    max_endpoints: int = 1000

    @property
    def provider(self) -> str:
        """Its name."""
        return str(self.settings.__struct_config__.tag)

    @property
    def shown(self) -> str:
        """For people: the provider, and where it looks."""
        asked = self.settings
        match asked:
            case DnsDiscovery():
                return f"dns {asked.name}" + (" SRV" if asked.record == "SRV" else "")
            case FileDiscovery():
                return f"file {asked.path}"
            case DockerDiscovery():
                return f"docker {' '.join(asked.labels)}"
            case ConsulDiscovery():
                return f"consul {asked.service}"
            case KubernetesDiscovery():
                return f"kubernetes {asked.namespace or '.'}/{asked.service or asked.selector}"
            case HttpDiscovery():
                return f"http {asked.url.partition('?')[0]}"


class Found(Data, frozen=True):
    """An endpoint as a provider tells it; what it does not say is as the pool's `discover` says."""

    host: str
    port: int = 0
    scheme: str = ""
    base_path: str = ""
    weight: float | None = None
    zone: str = ""
    name: str = ""
    models: tuple[str, ...] = ()
    priority: int = 0  # on top of the configured one


def found_endpoint(discovery: Discovery, found: Found) -> Endpoint:
    """The endpoint that was found. Raises ValueError where it lacks a port, or speaks what the
    others of its pool do not."""
    scheme = found.scheme or discovery.scheme
    if protocol_of(scheme) != protocol_of(discovery.scheme):
        raise ValueError(
            f"{found.host} speaks {scheme}://, and `scheme` in `discover` is {discovery.scheme}"
        )
    port = found.port or discovery.port
    if not port and not socket_path(found.host):
        raise ValueError(f"{found.host} has no port: give `port` beside `{discovery.provider}`")
    return Endpoint(
        name=found.name or shown_address(found.host, port) + found.base_path,
        host=found.host,
        port=port,
        tls=scheme == "https",
        http2=scheme == "h2c",
        base_path=found.base_path,
        weight=discovery.weight if found.weight is None else found.weight,
        zone=found.zone or discovery.zone,
        models=found.models or discovery.models,
        priority=discovery.priority + found.priority,
        backup=discovery.backup,
    )


def protocol_of(scheme: str) -> Literal["http", "tcp", "udp"]:
    """What is spoken by endpoints whose URL begins so."""
    if scheme == "tcp":
        return "tcp"
    return "udp" if scheme == "udp" else "http"
