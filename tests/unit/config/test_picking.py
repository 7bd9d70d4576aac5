"""Listeners for gateways, which ask for endpoints (`protocol: epp`)."""

import re
from pathlib import Path

import pytest

from penstock.config.compile.snapshot import configure_endpoints, load_configuration
from penstock.config.load.errors import ConfigError
from penstock.core import snapshot
from tests.unit.config.documents import load

_POOL = "pools: {main: {endpoints: 'http://10.0.0.1:1'}}"


def gateway(settings: str, pools: str = _POOL) -> str:
    return f"{{listeners: {{gateway: {{protocol: epp, {settings}}}}}, {pools}}}"


def test_calls_go_to_the_picker_and_its_health(tmp_path: Path) -> None:
    made = load(gateway("address: '127.0.0.1:9002', pool: main"), tmp_path).snapshot
    picker, health = made.routes
    assert picker.match == snapshot.Match(
        listeners=("gateway",),
        path_kind="prefix",
        path="/envoy.service.ext_proc.v3.ExternalProcessor",
    )
    assert health.grpc_service == "grpc.health.v1.Health"
    assert [each.pool for each in (*picker.pools, *health.pools)] == ["main", "main"]
    (listener,) = made.listeners
    assert (listener.timeouts.client_body_idle_s, listener.limits.body_bytes) == (0.0, 0)
    assert listener.http2.streams == 10_000  # a gateway has one connection for all requests


def test_the_example_is_right() -> None:
    file = Path(__file__).parents[3] / "examples" / "epp" / "penstock.yaml"
    assert load_configuration(file).snapshot.listeners[0].protocol == "epp"


@pytest.mark.parametrize("page", ["epp.md", "split.md"])
def test_what_the_documentation_shows_is_right(page: str, tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / "docs" / page).read_text()
    blocks = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert blocks
    for block in blocks:
        assert load(block, tmp_path).snapshot.pools


def test_routes_are_for_other_listeners(tmp_path: Path) -> None:
    text = (
        "{listeners: {gateway: {protocol: epp, address: '127.0.0.1:9002', pool: main}, "
        f"web: {{address: ':80'}}}}, {_POOL}, routes: [{{pool: main}}]}}"
    )
    *_, web = load(text, tmp_path).snapshot.routes
    assert web.match.listeners == ("web",)


def test_it_can_be_said_on_a_command_line() -> None:
    made = configure_endpoints(["http://a:1"], listen=["epp://127.0.0.1:9002"]).snapshot
    assert [each.grpc_service for each in made.routes] == [
        "envoy.service.ext_proc.v3.ExternalProcessor",
        "grpc.health.v1.Health",
    ]


@pytest.mark.parametrize(
    "near",
    [
        "address: '[::1]:9002'",
        "address: 'localhost:9002'",
        "address: 'unix:/tmp/penstock-epp.sock'",
        "address: ':9002', allow: 10.0.0.0/8",
    ],
)
def test_who_may_ask_is_near_or_named(tmp_path: Path, near: str) -> None:
    load(gateway(f"{near}, pool: main"), tmp_path)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("address: ':9002', pool: main", "allow: [10.0.0.0/8]"),
        ("address: '127.0.0.1:9002'", "name it, as `pool: NAME`"),
        ("address: '127.0.0.1:9002', pool: other", "no pool is called 'other'"),
        ("address: '127.0.0.1:9002', pool: main, http2: off", "gRPC, which needs HTTP/2"),
        (
            "address: '127.0.0.1:9002', pool: main, timeouts: {client_body_idle: 3s}",
            "a gateway is silent",
        ),
        ("address: '127.0.0.1:9002', pool: main, limits: {body_rate: 1}", "gateway bounds"),
        ("address: '127.0.0.1:9002', pool: main, merge_slashes: on", "has no effect"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, settings: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(gateway(settings), tmp_path)
    assert said in str(caught.value)


@pytest.mark.parametrize("endpoint", ["tcp://10.0.0.1:1", "unix:/run/engine.sock"])
def test_endpoints_have_addresses_and_speak_http(tmp_path: Path, endpoint: str) -> None:
    pools = f"pools: {{main: {{endpoints: '{endpoint}'}}}}"
    with pytest.raises(ConfigError):
        load(gateway("address: '127.0.0.1:9002', pool: main", pools), tmp_path)
