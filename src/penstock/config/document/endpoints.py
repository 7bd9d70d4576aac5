"""The document's part about the endpoints of a pool, and what is said to all of them."""

from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, PlainValidator

from penstock.config.document.addresses import Address, parse_host
from penstock.config.document.check_bytes import CheckBytes
from penstock.config.document.endpoint_url import EndpointUrl, parse_endpoint_url
from penstock.config.document.engines import KvEvents
from penstock.config.document.headers import EditedName
from penstock.config.document.models import ModelName
from penstock.config.document.section import Section, required, setting
from penstock.config.document.values import (
    Count,
    FieldValue,
    Flag,
    Name,
    OneOrMany,
    PositiveDuration,
    RequestTarget,
    Weight,
)
from penstock.core import snapshot

_ENDPOINT: Final = snapshot.Endpoint(name="", host="", port=0)
_TLS: Final = snapshot.EndpointTls()
_PROBE: Final = snapshot.Probe()


class Endpoint(Section):
    """A server of a pool. A plain text stands for its `url`."""

    url: Annotated[EndpointUrl, PlainValidator(parse_endpoint_url, json_schema_input_type=str)] = (
        required(
            "`http://host:port` or `https://host:port`; http where only `host:port` is given. A "
            "path, as in `https://host/openai`, comes before every path that is asked for there. "
            "`h2c://host:port`: HTTP/2 without TLS. "
            "`tcp://host:port`: connections of `tcp` and `tls-passthrough` listeners. "
            "`udp://host:port`: datagrams of `udp` listeners. `unix:/path`, `h2c+unix:/path`, "
            "`tcp+unix:/path`: the same over a socket of the file system."
        )
    )
    name: Name | None = setting(
        None, "Unique in its pool. Default: `host:port`, and the path if the `url` has one."
    )
    kv_events: KvEvents | None = setting(
        None, "Where its engine publishes KV events, instead of its pool's `engine: {kv_events}`."
    )
    headers: dict[EditedName, FieldValue] = setting(
        {},
        "Headers of all requests to it, health checks and questions to its engine among them, such "
        "as its own `Authorization`; in place of the client's.",
    )
    weight: Weight = setting(
        _ENDPOINT.weight, "Its share of requests relative to the others. 0: it gets none."
    )
    max_in_flight: Count = setting(
        _ENDPOINT.max_in_flight,
        "Most requests in flight there at once, over all workers, and over all balancers that "
        "share a `store`. 0: no limit.",
    )
    priority: Count = setting(
        _ENDPOINT.priority,
        "Its priority group. The group with the lowest number is used; the next only when "
        "none of it is available.",
    )
    backup: Flag = setting(_ENDPOINT.backup, "Used only when no other endpoint is available.")
    zone: str = setting(_ENDPOINT.zone, "Its zone, for policies that prefer nearby endpoints.")
    models: OneOrMany[ModelName] = setting(
        _ENDPOINT.models, "Models that it serves, in a pool of kind `llm`. Default: it is asked."
    )
    quic_server_ids: OneOrMany[CheckBytes] = setting(
        (), "What it puts into its connection ids of QUIC; `hex:` begins bytes."
    )

    def full_name(self) -> str:
        """Its name, given or made from its address."""
        return self.name or str(Address(self.url.host, self.url.port)) + self.url.base_path


def _endpoint(value: Any) -> Any:
    return {"url": value} if isinstance(value, (str, EndpointUrl)) else value


Endpoints = OneOrMany[
    Annotated[Endpoint, BeforeValidator(_endpoint, json_schema_input_type=str | Endpoint)]
]


def _http2_choice(value: object) -> object:
    named = {"yes": "on", "no": "off", True: "on", False: "off"}
    return named.get(value, value) if isinstance(value, (str, bool)) else value


Http2OrAuto = Annotated[
    Literal["off", "on", "auto"],
    BeforeValidator(_http2_choice, json_schema_input_type=Literal["off", "on", "auto"] | bool),
]


def _host_or_empty(value: object) -> str:
    return parse_host(str(value)) if value else ""


class EndpointTls(Section):
    """How `https://` endpoints are verified, and what they are shown."""

    verify: Flag = setting(_TLS.verify, "Whether certificates are verified. Leave it on.")
    ca_file: str | None = setting(
        None, "PEM file with the authorities to trust. Default: the system's."
    )
    server_name: Annotated[str, BeforeValidator(_host_or_empty)] = setting(
        _TLS.server_name, "Server name to send and verify. Empty: the endpoint's host."
    )
    certificate: str | None = setting(
        None,
        "PEM file with the certificate, and its intermediates, for endpoints that ask for one "
        "(mutual TLS); health checks show it too. Read again when it changes. Default: none.",
    )
    key: str | None = setting(None, "PEM file with its private key, unencrypted.")


class Probe(Section):
    """How endpoints are asked for their load, where the policy wants that (`prequal` with `answers:
    asked`): by GET. The answer is an `endpoint-load-metrics` header or a JSON object, with `rif` or
    vLLM's `server_load`, and `latency_s` or `latency_ms`."""

    path: RequestTarget = setting(_PROBE.path, "Path to ask, with its query if it has one.")
    timeout: PositiveDuration = setting(_PROBE.timeout_s, "Timeout of one question.")
