"""Penstock itself, compiled or interpreted: the same files, the same configuration."""

import json
import os
from collections.abc import Mapping
from typing import Any

from benchmarks.balancers.balancer import Balancer, UnavailableError, ask
from benchmarks.site import (
    BACKLOG,
    HEALTH_INTERVAL_S,
    HEALTH_PATH,
    IDLE_TO_ENDPOINT,
    KEEP_ALIVE_S,
    Site,
)


class Penstock(Balancer):
    """``python`` is the interpreter that has it; it must run in the form that is asked for.

    ``policy_options`` come to the policy's name, ``variant`` to the balancer's, the policy's too
    where it is to be ``named``. ``workers`` are those of the site unless said.
    """

    def __init__(
        self,
        python: str,
        *,
        interpreted: bool = False,
        policy: str = "",
        policy_options: Mapping[str, object] | None = None,
        kind: str = "http",
        workers: int = 0,
        variant: str = "",
        named: bool = True,
    ) -> None:
        self.name = "Penstock interpreted" if interpreted else "Penstock"
        if policy and named:
            self.name = f"Penstock {policy}"
        self.name += variant
        self._policy = {"name": policy or "least-request", **(policy_options or {})}
        self._kind = kind
        self._workers = workers
        self.python = python
        self._form = "interpreted" if interpreted else "compiled"

    def version(self) -> str:
        said = ask(
            self.python,
            "-m",
            "penstock",
            "--version",
            environment={**os.environ, **self.environment()},
        )
        if self._form not in said:
            raise UnavailableError(f"Penstock is not {self._form} here: {said}")
        return said.removeprefix("penstock").strip()

    def environment(self) -> Mapping[str, str]:
        return {"PENSTOCK_PURE": "1" if self._form == "interpreted" else "0"}

    def file(self, site: Site) -> str:
        return str(site.directory / f"{self.name.replace(', ', '-').replace(' ', '-')}.yaml")

    def configuration(self, site: Site) -> str:
        listener: dict[str, Any] = {
            "address": f"127.0.0.1:{site.port}",
            "backlog": BACKLOG,
            "timeouts": {"keep_alive_idle": f"{KEEP_ALIVE_S}s"},
            "limits": {
                "connections": 0,
                "connections_per_address": 0,
                "requests_per_connection": 0,
            },
        }
        if site.certificate:
            listener["tls"] = {
                "certificate": str(site.certificate.certificate),
                "key": str(site.certificate.key),
            }
        if site.protocol in ("tcp", "udp"):
            return self._relaying(site)
        over_http2 = site.protocol == "grpc"
        scheme = "h2c" if over_http2 else "http"
        checked = {"kind": "tcp"} if over_http2 else {"path": HEALTH_PATH}
        pool = {
            "endpoints": [f"{scheme}://{host}:{port}" for host, port in site.endpoints],
            "kind": self._kind,
            "policy": self._policy,
            "health_check": {**checked, "interval": f"{HEALTH_INTERVAL_S}s"},
            "timeouts": {"stream_idle": f"{KEEP_ALIVE_S}s", "first_byte": f"{KEEP_ALIVE_S}s"},
            "connections": {"max_idle": IDLE_TO_ENDPOINT, "idle_timeout": f"{KEEP_ALIVE_S}s"},
        }
        document = {
            "listeners": {"clients": listener},
            "pools": {"endpoints": pool},
            "admin": f"127.0.0.1:{site.admin_port}",
            "workers": self._workers or site.workers,
            "request_log": "off",
        }
        return json.dumps(document, indent=1)  # JSON is YAML

    def _relaying(self, site: Site) -> str:
        scheme = site.protocol
        listener: dict[str, Any] = {"address": f"127.0.0.1:{site.port}"}
        if scheme == "tcp":
            listener["backlog"] = BACKLOG
        endpoints = [f"{scheme}://{host}:{port}" for host, port in site.endpoints]
        document = {
            "listeners": {"clients": listener},
            "pools": {"endpoints": {"endpoints": endpoints}},
            "admin": f"127.0.0.1:{site.admin_port}",
            "workers": self._workers or site.workers,
        }
        return json.dumps(document, indent=1)

    def command(self, site: Site) -> list[str]:
        return [self.python, "-m", "penstock", "serve", "--config", self.file(site)]
