"""What Envoy is asked to be, by what is measured."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.balancers import Envoy
from benchmarks.site import Site


def configured(protocol: str) -> dict[str, Any]:
    site = Site(Path("/none"), 1, 2, [("127.0.0.1", 3)], protocol=protocol)
    told: dict[str, Any] = json.loads(Envoy().configuration(site))["static_resources"]
    return told


@pytest.mark.parametrize("protocol", ["http", "h2c", "h2", "grpc", "websocket", "tcp"])
def test_one_filter_takes_all_connections(protocol: str) -> None:
    (chain,) = configured(protocol)["listeners"][0]["filter_chains"]
    (taken,) = chain["filters"]
    assert taken["name"].endswith("tcp_proxy") is (protocol == "tcp")
    upgrades = taken["typed_config"].get("upgrade_configs", [])
    assert upgrades == [{"upgrade_type": "websocket"}] * (protocol == "websocket")


@pytest.mark.parametrize(
    ("protocol", "check"),
    [
        ("http", "http_health_check"),
        ("h2c", "http_health_check"),
        ("grpc", "tcp_health_check"),
        ("websocket", "tcp_health_check"),
        ("tcp", "tcp_health_check"),
    ],
)
def test_endpoints_are_checked_as_they_answer(protocol: str, check: str) -> None:
    (cluster,) = configured(protocol)["clusters"]
    assert check in cluster["health_checks"][0]
    assert ("typed_extension_protocol_options" in cluster) is (protocol != "tcp")


def test_nothing_is_said_of_http_where_datagrams_are_passed_on() -> None:
    told = configured("udp")
    assert "health_checks" not in told["clusters"][0]
    assert "filter_chains" not in told["listeners"][0]
