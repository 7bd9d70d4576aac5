"""Reloads: nothing is lost on the way, and a wrong file changes nothing."""

import signal
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

import trustme

from tests.harness.endpoint import EndpointConnection, Script, ScriptedEndpoint
from tests.harness.http_endpoint import HttpEndpoint
from tests.harness.messages import answer_of, get
from tests.harness.traffic import Traffic
from tests.harness.waiting import wait_until
from tests.scenario.conftest import Serve

RELOAD_EVERY_S = 0.1


def test_a_reload_moves_traffic(
    serve: Serve, endpoint: HttpEndpoint, other_endpoint: HttpEndpoint
) -> None:
    balancer = serve({"endpoints": [endpoint.name]})
    client = balancer.connect()
    assert client.get().body == endpoint.name.encode()
    balancer.write({"endpoints": [other_endpoint.name]})
    balancer.signal(signal.SIGHUP)
    balancer.wait_for_event("reload")
    assert client.get().body == other_endpoint.name.encode()


def test_a_wrong_file_changes_nothing_and_says_why(serve: Serve, endpoint: HttpEndpoint) -> None:
    balancer = serve({"endpoints": [endpoint.name]})
    generation = balancer.status()["generation"]
    client = balancer.connect()
    client.get()
    balancer.file.write_text("endpoints: [a:1]\nlistn: b:2\n")
    balancer.signal(signal.SIGHUP)
    said = balancer.wait_for_event("reload.failed")
    assert "penstock.yaml:2:1: listn: unknown key; did you mean 'listen'?" in said["message"]
    assert balancer.reload()["ok"] is False
    status = balancer.status()
    assert status["generation"] == generation
    assert status["reloads"]["failed"] == 2
    assert "did you mean 'listen'" in status["reloads"]["last"]["message"]
    assert client.get().body == endpoint.name.encode()


def test_what_is_hardly_meant_so_is_said_at_start_and_at_reloads(
    serve: Serve, endpoint: HttpEndpoint
) -> None:
    document = {"endpoints": [endpoint.name], "policy": "token-load"}
    balancer = serve(document)
    assert "'token-load' reads prompts" in balancer.wait_for_event("configuration")["message"]
    (note,) = balancer.reload()["notes"]
    assert "'token-load' reads prompts" in note
    balancer.write({**document, "kind": "llm"})
    assert balancer.reload()["notes"] == []


def test_a_world_that_workers_refuse_changes_nothing(serve: Serve, endpoint: HttpEndpoint) -> None:
    balancer = serve({"endpoints": [endpoint.name]})
    balancer.write(
        {"endpoints": [endpoint.name, "127.0.0.1:9"], "request_log": "/nowhere/requests.log"}
    )
    result = balancer.reload()
    assert result["ok"] is False
    assert "/nowhere" in result["message"]
    status = balancer.status()
    assert [each["name"] for each in status["pools"][0]["endpoints"]] == [endpoint.name]
    assert {each["generation"] for each in status["workers"]} == {status["generation"]}
    with balancer.connect() as client:
        assert client.get().status == 200


def test_a_name_without_an_address_stops_no_reload(serve: Serve, endpoint: HttpEndpoint) -> None:
    balancer = serve({"endpoints": [endpoint.name]})
    weighted = {"url": endpoint.name, "weight": 3}
    balancer.write({"endpoints": [weighted, "nowhere.invalid:80"]})
    assert balancer.reload()["ok"] is True
    assert balancer.endpoint(endpoint.name)["weight"] == 3.0
    lost = balancer.endpoint("nowhere.invalid:80")
    assert (lost["state"], lost["available"]) == ("down", False)
    assert "nowhere.invalid" in lost["reason"]
    with balancer.connect() as client:
        assert [client.get().status for _ in range(4)] == [200] * 4


def test_reloads_in_a_loop_with_endpoints_that_come_and_go_lose_no_request(
    serve: Serve, endpoint: HttpEndpoint, other_endpoint: HttpEndpoint
) -> None:
    with HttpEndpoint() as third:
        worlds = [
            [endpoint.name, other_endpoint.name],
            [other_endpoint.name, third.name],
            [third.name],
            [third.name, endpoint.name],
        ]
        balancer = serve({"endpoints": worlds[0]})
        pause = threading.Event()  # never set: waits so long
        with Traffic(balancer.address()) as traffic:
            traffic.wait_for_more(10)
            for number in range(1, 31):
                balancer.write({"endpoints": worlds[number % len(worlds)]})
                balancer.signal(signal.SIGHUP)
                pause.wait(RELOAD_EVERY_S)
            wait_until(lambda: balancer.status()["reloads"]["ok"] > 10, "reloads went through")
            traffic.wait_for_more(50)
        assert balancer.status()["reloads"]["failed"] == 0
        assert all(place.requests for place in (endpoint, other_endpoint, third))


def test_a_removed_endpoint_finishes_what_it_has(
    serve: Serve, scripted: Callable[[Script], ScriptedEndpoint], other_endpoint: HttpEndpoint
) -> None:
    def answer_when_told(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.go_on.wait()
        connection.send(answer_of(b"at last"))

    leaving = scripted(answer_when_told)
    balancer = serve({"endpoints": [leaving.name]})
    client = balancer.connect()
    client.send(get())
    leaving.connection()
    balancer.write({"endpoints": [other_endpoint.name]})
    assert balancer.reload()["ok"]
    leaving.connection().go_on.set()
    assert client.read_response().body == b"at last"


def test_listeners_come_go_and_change_their_names(serve: Serve, endpoint: HttpEndpoint) -> None:
    document = {"pools": {"main": {"endpoints": [endpoint.name]}}, "listen": None}

    def listeners(*names: str) -> dict[str, object]:
        return {**document, "listeners": {name: {"address": "127.0.0.1:0"} for name in names}}

    balancer = serve(listeners("a"))
    kept = balancer.address("a")
    balancer.write(listeners("a", "b"))
    assert balancer.reload()["ok"], balancer.said()
    assert balancer.address("a") == kept
    for name in ("a", "b"):
        with balancer.connect(name) as client:
            assert client.get().status == 200
    balancer.write(listeners("b"))
    assert balancer.reload()["ok"]
    with balancer.connect("b") as client:
        assert client.get().status == 200
    assert [each["name"] for each in balancer.status()["listeners"]] == ["b"]


def test_settings_that_need_a_restart_are_named(serve: Serve, endpoint: HttpEndpoint) -> None:
    balancer = serve({"endpoints": [endpoint.name]})
    balancer.write({"endpoints": [endpoint.name], "workers": 3})
    assert balancer.reload()["notes"] == ["workers: 3 takes effect after a restart"]


def test_changed_certificate_files_are_picked_up_without_a_reload(
    serve: Serve, endpoint: HttpEndpoint, tmp_path: Path
) -> None:
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    authorities = [trustme.CA(), trustme.CA()]

    def install(authority: trustme.CA) -> None:
        issued = authority.issue_cert("localhost")
        issued.cert_chain_pems[0].write_to_path(str(certificate))
        issued.private_key_pem.write_to_path(str(key))

    def trusting(authority: trustme.CA) -> ssl.SSLContext:
        context = ssl.create_default_context()
        authority.configure_trust(context)
        return context

    install(authorities[0])
    balancer = serve(
        {
            "listen": None,
            "listeners": {
                "main": {
                    "address": "127.0.0.1:0",
                    "tls": {"certificate": "tls.crt", "key": "tls.key"},
                }
            },
            "pools": {"main": {"endpoints": [endpoint.name]}},
        }
    )
    before = balancer.connect(tls=trusting(authorities[0]))
    assert before.get().status == 200
    key.write_text("half of a key")
    said = balancer.wait_for_event("certificates.refused")
    assert "tls.key" in said["message"]
    with balancer.connect(tls=trusting(authorities[0])) as client:
        assert client.get().status == 200
    install(authorities[1])
    balancer.wait_for_event("certificates")
    with balancer.connect(tls=trusting(authorities[1])) as client:
        assert client.get().status == 200
    assert before.get().status == 200, "who is connected stays"


def test_the_request_log_is_opened_anew_on_sigusr1(
    serve: Serve, endpoint: HttpEndpoint, tmp_path: Path
) -> None:
    log = tmp_path / "requests.log"
    balancer = serve({"endpoints": [endpoint.name], "request_log": str(log)})
    client = balancer.connect()
    client.get("/first")
    wait_until(lambda: "/first" in log.read_text(), "the line is written")
    moved = log.rename(tmp_path / "requests.log.1")
    balancer.signal(signal.SIGUSR1)
    wait_until(log.exists, "the file is there again")

    def second_is_in_it() -> bool:
        """Of several workers the client's may be the last to open it."""
        client.get("/second")
        return "/second" in log.read_text()

    wait_until(second_is_in_it, "the line is written")
    client.get("/third")
    wait_until(lambda: "/third" in log.read_text(), "the next line is written")
    assert "/third" not in moved.read_text()
