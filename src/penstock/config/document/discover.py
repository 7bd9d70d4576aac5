"""The document's part about endpoints that are found while the balancer runs."""

import ipaddress
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, PlainSerializer, PlainValidator, model_validator

from penstock.config.document.addresses import parse_host, parse_port
from penstock.config.document.models import ModelName
from penstock.config.document.section import Section, required, setting
from penstock.config.document.show import show
from penstock.config.document.values import (
    Count,
    FieldValue,
    Flag,
    OneOrMany,
    Port,
    PositiveCount,
    PositiveDuration,
    Token,
    Weight,
    parse_name,
)
from penstock.core.snapshot import discovery
from penstock.core.snapshot.address import shown_address

_DNS: Final = discovery.DnsDiscovery("")
_FILE: Final = discovery.FileDiscovery("")
_HTTP: Final = discovery.HttpDiscovery("")
_DOCKER: Final = discovery.DockerDiscovery()
_CONSUL: Final = discovery.ConsulDiscovery("")
_KUBERNETES: Final = discovery.KubernetesDiscovery()
_DISCOVERY: Final = discovery.Discovery(_FILE)
MOST_ENDPOINTS: Final = 20_000  # of one provider
_RECORDS: Final = ("A", "AAAA", "A+AAAA", "SRV")
_DNS_PORT: Final = 53


def parse_record(value: object) -> str:
    """A type of record that names servers. Raises ValueError."""
    text = str(value).upper()
    if text in ("AAAA+A", "ANY", "BOTH"):
        raise ValueError(f"{show(value)}: write A+AAAA for the addresses of both families")
    if text in ("CNAME", "DNAME", "ALIAS"):
        raise ValueError(f"{show(value)}: write A+AAAA; aliases are followed by themselves")
    if text not in _RECORDS:
        raise ValueError(f"one of {', '.join(_RECORDS)} is needed, not {show(value)}")
    return text


def parse_dns_name(value: object) -> str:
    """A name to look up; SRV names have underscores. Raises ValueError."""
    if not isinstance(value, str):
        raise ValueError(f"a name such as app.internal is needed, not {show(value)}")
    try:
        ipaddress.ip_address(value.strip("[]"))
    except ValueError:
        pass
    else:
        raise ValueError(f"{value} is an address, not a name: list it in `endpoints`")
    host, colon, port = value.partition(":")
    if colon:
        raise ValueError(f"{value}: write {host} here, and `port: {port}` beside `dns`")
    return parse_host(value)


def parse_server(value: object) -> tuple[str, int]:
    """The address of a DNS server, with its port where it is not 53. Raises ValueError."""
    if isinstance(value, tuple):
        return value
    text = str(value)
    host, colon, port = text.rpartition(":")
    if not colon or (":" in host and not host.startswith("[")):
        host, port = text, str(_DNS_PORT)
    try:
        return str(ipaddress.ip_address(host.strip("[]"))), parse_port(port)
    except ValueError:
        raise ValueError(
            f"the address of a DNS server is needed, such as 10.0.0.53 or 10.0.0.53:5353, not "
            f"{show(value)}"
        ) from None


def parse_http_url(value: object) -> str:
    """An http or https URL without a password. Raises ValueError."""
    text = str(value)
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(
            f"a URL such as http://inventory:8080/targets is needed, not {show(value)}"
        )
    if parts.username or parts.password:
        raise ValueError(
            "a URL cannot hold a user name or password: use `headers: {Authorization: …}`"
        )
    return text


def parse_label(value: object) -> str:
    """``key`` or ``key=value``. Raises ValueError."""
    text = str(value)
    key = text.partition("=")[0]
    if not isinstance(value, str) or not key or any(c.isspace() for c in key) or len(text) > 512:
        raise ValueError(f"a label such as app=web is needed, not {show(value)}")
    if ":" in key and "=" not in text:
        raise ValueError(f"{show(value)}: write key=value")
    return text


DockerLabel = Annotated[str, PlainValidator(parse_label, json_schema_input_type=str)]


class DnsDiscovery(Section):
    """A name whose records are the endpoints, looked up again as their TTL says. A plain text
    stands for its `name`."""

    name: Annotated[str, PlainValidator(parse_dns_name, json_schema_input_type=str)] = required(
        "The name: `app.internal`, or `_http._tcp.app.internal` for SRV."
    )
    record: Annotated[
        Literal["A", "AAAA", "A+AAAA", "SRV"],
        PlainValidator(parse_record, json_schema_input_type=Literal["A", "AAAA", "A+AAAA", "SRV"]),
    ] = setting(
        _DNS.record,
        "`A`, `AAAA`, `A+AAAA`: every address is an endpoint, on the `port` given beside. `SRV`: "
        "every record is one, with its own port, weight and priority.",
    )
    servers: OneOrMany[
        Annotated[
            tuple[str, int],
            PlainValidator(parse_server, json_schema_input_type=str),
            PlainSerializer(lambda server: shown_address(*server), return_type=str),
        ]
    ] = setting(
        (), "Addresses of DNS servers, `10.0.0.53` or `10.0.0.53:5353`. Default: the system's."
    )
    least_ttl: PositiveDuration = setting(
        _DNS.least_ttl_s, "It is looked up no sooner, whatever the records' TTL."
    )
    most_ttl: PositiveDuration = setting(
        _DNS.most_ttl_s, "It is looked up no later, whatever the records' TTL."
    )
    timeout: PositiveDuration = setting(_DNS.timeout_s, "Timeout of one look-up.")

    @model_validator(mode="after")
    def _in_order(self) -> "DnsDiscovery":
        if self.least_ttl > self.most_ttl:
            raise ValueError("`least_ttl` is longer than `most_ttl`")
        return self


class FileDiscovery(Section):
    """A file of endpoints that is read again whenever it changes: `endpoints:` and a list, or
    Prometheus's `file_sd`. A plain text stands for its `path`."""

    path: str = required(
        "The file, YAML or JSON; relative to the configuration. Its last part may hold `*` and `?`."
    )
    interval: PositiveDuration = setting(
        _FILE.interval_s, "Time between two looks at whether it changed."
    )


class HttpDiscovery(Section):
    """A URL that answers with endpoints, as Prometheus's `http_sd` does. A plain text stands for
    its `url`."""

    url: Annotated[str, PlainValidator(parse_http_url, json_schema_input_type=str)] = required(
        "The URL, `http://` or `https://`."
    )
    interval: PositiveDuration = setting(_HTTP.interval_s, "Time between two requests.")
    timeout: PositiveDuration = setting(_HTTP.timeout_s, "Timeout of one request.")
    headers: dict[Token, FieldValue] = setting({}, "Headers of these requests.")
    ca_file: str | None = setting(None, "The authorities that its certificate may be of.")


class DockerDiscovery(Section):
    """Containers of a Docker engine, read only. A plain text stands for its `labels`."""

    labels: OneOrMany[DockerLabel] = required(
        "Labels that the containers have: `app=web`, or `app` with any value."
    )
    socket: str = setting(_DOCKER.socket, "The engine's socket.")
    network: str = setting(
        _DOCKER.network, "The network whose addresses are used. Default: a container's only one."
    )
    interval: PositiveDuration = setting(_DOCKER.interval_s, "Time between two looks.")


class ConsulDiscovery(Section):
    """The passing instances of a service in Consul. A plain text stands for its `service`."""

    service: Annotated[str, PlainValidator(parse_name, json_schema_input_type=str)] = required(
        "The name of the service."
    )
    url: Annotated[str, PlainValidator(parse_http_url, json_schema_input_type=str)] = setting(
        _CONSUL.url, "The URL of an agent."
    )
    tag: str = setting(_CONSUL.tag, "A tag that the instances have.")
    datacenter: str = setting(_CONSUL.datacenter, "The datacenter. Default: the agent's own.")
    headers: dict[Token, FieldValue] = setting(
        {}, "Headers of these requests, such as `X-Consul-Token`."
    )
    ca_file: str | None = setting(None, "The authorities that its certificate may be of.")


def check_access(given: Section) -> None:
    """Where an API server is: a kubeconfig says all of it. Raises ValueError."""
    said = {
        key: getattr(given, key)
        for key in ("server", "token_file", "ca_file", "kubeconfig", "context")
    }
    if not said["kubeconfig"]:
        if said["context"]:
            raise ValueError("`context` is of a `kubeconfig`, which is not given")
        return
    for key in ("server", "token_file", "ca_file"):
        if said[key] is not None:
            raise ValueError(f"`{key}` has no effect beside `kubeconfig`, which says it")


def _name_or_empty(value: object) -> str:
    return parse_name(value) if value else ""


class KubernetesDiscovery(Section):
    """The ready endpoints of a Kubernetes Service, by its EndpointSlices, or the ready pods that a
    selector chooses. A plain text stands for its `service`."""

    service: Annotated[str, PlainValidator(_name_or_empty, json_schema_input_type=str)] = setting(
        _KUBERNETES.service, "The name of the Service. Either this or `selector`."
    )
    selector: str = setting(
        _KUBERNETES.selector,
        "Labels of pods, as in `app=llm,tier in (gpu)`. Their annotations `penstock.port`, "
        "`penstock.weight`, `penstock.zone` and `penstock.models` say the rest.",
    )
    namespace: str = setting(
        _KUBERNETES.namespace, "Its namespace. Default: that of the pod that Penstock runs in."
    )
    port_name: str = setting(
        _KUBERNETES.port_name,
        "The name of the Service's port, or of the pods'. Default: the only one there is.",
    )
    family: Literal["IPv4", "IPv6"] = setting(
        _KUBERNETES.family, "Of which addresses there are endpoints."
    )
    server: Annotated[str, PlainValidator(parse_http_url, json_schema_input_type=str)] | None = (
        setting(None, "The API server. Default: that of the cluster that Penstock runs in.")
    )
    token_file: str | None = setting(
        None, "The file of a bearer token, read again for every request. Default: the pod's."
    )
    ca_file: str | None = setting(
        None, "The authorities that its certificate may be of. Default: the pod's."
    )
    kubeconfig: str | None = setting(
        None,
        "A kubeconfig file, in place of `server`, `token_file` and `ca_file`. Commands that it "
        "names are not run.",
    )
    context: str = setting(_KUBERNETES.context, "A context of it. Default: its current one.")

    @model_validator(mode="after")
    def _consistent(self) -> "KubernetesDiscovery":
        if bool(self.service) == bool(self.selector):
            raise ValueError("give one of `service` and `selector`")
        check_access(self)
        return self


def _short_for(key: str) -> Callable[[Any], Any]:
    return lambda value: {key: value} if isinstance(value, str) else value


class Discover(Section):
    """Endpoints that a provider finds, beside those that are listed. One provider is named, and
    what is true of all that it finds."""

    dns: (
        Annotated[
            DnsDiscovery,
            BeforeValidator(_short_for("name"), json_schema_input_type=str | DnsDiscovery),
        ]
        | None
    ) = setting(None, "By the records of a name.")
    file: (
        Annotated[
            FileDiscovery,
            BeforeValidator(_short_for("path"), json_schema_input_type=str | FileDiscovery),
        ]
        | None
    ) = setting(None, "In a file.")
    http: (
        Annotated[
            HttpDiscovery,
            BeforeValidator(_short_for("url"), json_schema_input_type=str | HttpDiscovery),
        ]
        | None
    ) = setting(None, "From an HTTP server.")
    docker: (
        Annotated[
            DockerDiscovery,
            BeforeValidator(_short_for("labels"), json_schema_input_type=str | DockerDiscovery),
        ]
        | None
    ) = setting(None, "Containers of a Docker engine.")
    consul: (
        Annotated[
            ConsulDiscovery,
            BeforeValidator(_short_for("service"), json_schema_input_type=str | ConsulDiscovery),
        ]
        | None
    ) = setting(None, "A service in Consul.")
    kubernetes: (
        Annotated[
            KubernetesDiscovery,
            BeforeValidator(
                _short_for("service"), json_schema_input_type=str | KubernetesDiscovery
            ),
        ]
        | None
    ) = setting(None, "A Service in Kubernetes.")
    scheme: Literal["http", "https", "h2c", "tcp", "udp"] = setting(
        _DISCOVERY.scheme, "What the endpoints speak."
    )
    port: Port = setting(
        _DISCOVERY.port, "Their port, where the provider does not say it. Addresses of DNS need it."
    )
    weight: Weight = setting(_DISCOVERY.weight, "Their weight, where the provider does not say it.")
    zone: str = setting(_DISCOVERY.zone, "Their zone, where the provider does not say it.")
    models: OneOrMany[ModelName] = setting(
        _DISCOVERY.models, "The models that they serve, where the provider does not say it."
    )
    priority: Count = setting(
        _DISCOVERY.priority, "Their priority group; priorities of SRV records come on top of it."
    )
    backup: Flag = setting(
        _DISCOVERY.backup, "Whether they are used only when no other endpoint is available."
    )
    max_endpoints: Annotated[PositiveCount, Field(le=MOST_ENDPOINTS)] = setting(
        _DISCOVERY.max_endpoints,
        "Answers with more endpoints are refused, and what was known before is used on.",
    )

    @model_validator(mode="after")
    def _one_provider(self) -> "Discover":
        named = [name for name in PROVIDERS if getattr(self, name) is not None]
        if len(named) != 1:
            known = ", ".join(f"`{name}`" for name in PROVIDERS)
            raise ValueError(f"name one provider: {known}; give each its own entry of the list")
        if self.dns is not None and self.dns.record != "SRV" and not self.port:
            raise ValueError(
                "addresses have no port: give the `port` of the endpoints beside `dns`"
            )
        if self.dns is not None and self.dns.record == "SRV" and self.port:
            raise ValueError("`port` has no effect: SRV records tell their own")
        return self

    @property
    def provider(self) -> str:
        """The name of the one that is given."""
        return next(name for name in PROVIDERS if getattr(self, name) is not None)


PROVIDERS: Final = ("dns", "file", "http", "docker", "consul", "kubernetes")
