"""What dashboards and alert rules ask, a real Prometheus answers."""

import json
import re
import shutil
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.grafana.boards import HERE, written
from tests.harness.balancer import Balancer
from tests.harness.http_endpoint import HttpEndpoint
from tests.harness.waiting import wait_until

WRITTEN = written()
STARTS_WITHIN_S = 60.0
TOKEN = "a-secret-token-of-some-length"
READ_TOKEN = "a-token-for-those-who-look"
# What has to be there once some requests were answered.
SHOWN = {"Requests", "Responses by class", "Total", "Available", "In flight", "Clients connected"}


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip("no Prometheus is installed: `make prometheus` installs Debian's")
    return found


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class Prometheus:
    """Scrapes one admin address, with the read token."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def ask(self, path: str, **query: str) -> Any:
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(url) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 503:  # it starts
                    return None
                raise AssertionError(f"{query}: {error.read().decode()}") from error
        except OSError:
            return None

    def values(self, query: str) -> list[Any]:
        found: list[Any] = self.ask("query", query=query)["result"]
        return found


@contextmanager
def prometheus(admin_url: str, directory: Path) -> Iterator[Prometheus]:
    host = admin_url.removeprefix("http://")
    scrape = {
        "job_name": "penstock",
        "authorization": {"credentials": READ_TOKEN},
        "static_configs": [{"targets": [host]}],
    }
    settings = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str((HERE / "alerts.yaml").resolve())],
        "scrape_configs": [scrape],
    }
    file = directory / "prometheus.yaml"
    file.write_text(yaml.safe_dump(settings))
    port = free_port()
    command = [
        program("prometheus"),
        f"--config.file={file}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (directory / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield Prometheus(port)
        finally:
            process.terminate()
            process.wait(20.0)


def plain(expression: str) -> str:
    """As Grafana asks it, with everything chosen."""
    filled = re.sub(r"\$(instance|pool|endpoint)\b", ".*", expression)
    return filled.replace("$__rate_interval", "1m")


def test_rules_are_what_prometheus_takes(tmp_path: Path) -> None:
    command = [program("promtool"), "check", "rules", str(HERE / "alerts.yaml")]
    subprocess.run(command, check=True, capture_output=True)


def test_every_panel_is_answered_and_what_runs_is_shown(tmp_path: Path) -> None:
    program("prometheus")
    with HttpEndpoint() as web:
        endpoints = [{"url": f"http://127.0.0.1:{web.port}", "name": "web"}]
        admin = {"address": "127.0.0.1:0", "token": TOKEN, "read_token": READ_TOKEN}
        document = {"admin": admin, "workers": 1, "endpoints": endpoints}
        with (
            Balancer(tmp_path, document) as balancer,
            balancer.connect() as client,
            prometheus(balancer.admin_url, tmp_path) as asked,
        ):

            def counted() -> bool:
                assert client.get("/").status == 200
                found = asked.ask("query", query="rate(penstock_requests_total[1m]) > 0")
                return bool(found and found["result"])

            wait_until(counted, "requests are counted", timeout_s=STARTS_WITHIN_S)
            for name, text in WRITTEN.items():
                if not name.endswith(".json"):
                    continue
                for panel in json.loads(text)["panels"]:
                    values = [asked.values(plain(each["expr"])) for each in panel["targets"]]
                    if panel["title"] in SHOWN:
                        assert any(values), f"{name}: {panel['title']} is empty"
            groups = asked.ask("rules")["groups"]
            assert all(rule["health"] != "err" for rule in groups[0]["rules"])
            firing = [r["name"] for r in groups[0]["rules"] if r["state"] == "firing"]
            assert firing == [], "nothing is wrong with a balancer that serves"
