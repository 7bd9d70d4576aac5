"""The supervisor and its workers: who dies, who serves on, and how it all ends."""

import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.harness import programs
from tests.harness.balancer import START_S, Balancer
from tests.harness.client import Client
from tests.harness.endpoint import EndpointConnection, Script, ScriptedEndpoint
from tests.harness.http_endpoint import HttpEndpoint
from tests.harness.messages import answer_of, get
from tests.harness.traffic import Traffic
from tests.harness.waiting import wait_until
from tests.scenario.conftest import Serve


def answer_when_told(connection: EndpointConnection) -> None:
    """Holds every request until the test lets it go on."""
    while True:
        connection.receive_head()
        connection.go_on.wait()
        connection.send(answer_of(b"at last"))


def start_request(balancer: Balancer, endpoint: ScriptedEndpoint) -> Client:
    """A client whose request has arrived at the endpoint, which holds it."""
    client = balancer.connect()
    client.send(get())
    wait_until(lambda: endpoint.requests_begun == 1, "the request arrived")
    return client


def is_refused(balancer: Balancer, address: tuple[str, int]) -> bool:
    try:
        Client(address).close()
    except (ConnectionRefusedError, ConnectionResetError):
        # Reset: the kernel had taken the connection when its listener was closed.
        return True
    return False


def test_what_reads_configurations_is_not_kept(tmp_path: Path, endpoint: HttpEndpoint) -> None:
    """An interpreter of its own: what others are forked from has imported it."""
    document = {"endpoints": [endpoint.name], "listen": "127.0.0.1:0", "admin": "127.0.0.1:0"}
    with programs.Balancer(tmp_path, document) as balancer:
        mapped = Path(f"/proc/{balancer.process.pid}/maps").read_text()
    assert "multidict" in mapped, "of the admin server, which it does run"
    assert "pydantic_core" not in mapped


class TestStop:
    def test_sigterm_finishes_what_runs_takes_no_more_and_exits_0(
        self, serve: Serve, scripted: Callable[[Script], ScriptedEndpoint]
    ) -> None:
        endpoint = scripted(answer_when_told)
        balancer = serve({"endpoints": [endpoint.name]})
        address = balancer.address()
        client = start_request(balancer, endpoint)
        balancer.signal(signal.SIGTERM)
        wait_until(lambda: is_refused(balancer, address), "new clients are refused")
        assert balancer.ask("/readyz") == (503, {"ready": False, "reasons": ["stopping"]})
        assert balancer.status()["pools"][0]["endpoints"][0]["in_flight"] == 1
        endpoint.connection().go_on.set()
        response = client.read_response()
        assert (response.status, response.body) == (200, b"at last")
        balancer.wait_for_exit()

    def test_after_the_deadline_requests_are_cut_and_the_exit_code_is_0_all_the_same(
        self, serve: Serve, scripted: Callable[[Script], ScriptedEndpoint]
    ) -> None:
        endpoint = scripted(answer_when_told)
        balancer = serve({"endpoints": [endpoint.name], "shutdown_deadline": "200ms"})
        client = start_request(balancer, endpoint)
        balancer.signal(signal.SIGTERM)
        assert client.read_response_or_end() is None
        balancer.wait_for_exit()

    def test_a_second_signal_ends_at_once(
        self, serve: Serve, scripted: Callable[[Script], ScriptedEndpoint]
    ) -> None:
        endpoint = scripted(answer_when_told)
        balancer = serve({"endpoints": [endpoint.name], "shutdown_deadline": "10m"})
        client = start_request(balancer, endpoint)
        balancer.signal(signal.SIGINT)
        balancer.wait_for_event("stopping")
        balancer.signal(signal.SIGINT)
        assert client.read_response_or_end() is None
        balancer.wait_for_exit()

    def test_stop_over_the_admin_address(self, serve: Serve, endpoint: HttpEndpoint) -> None:
        balancer = serve({"endpoints": [endpoint.name]})
        status, answer = balancer.ask("/api/v1/stop", {})
        assert (status, answer) == (202, {"stopping": True})
        balancer.wait_for_exit()

    def test_a_reload_while_stopping_is_refused(
        self, serve: Serve, scripted: Callable[[Script], ScriptedEndpoint]
    ) -> None:
        endpoint = scripted(answer_when_told)
        balancer = serve({"endpoints": [endpoint.name]})
        client = start_request(balancer, endpoint)
        balancer.signal(signal.SIGTERM)
        balancer.wait_for_event("stopping")
        assert balancer.reload()["message"] == "the balancer is stopping"
        endpoint.connection().go_on.set()
        assert client.read_response().status == 200
        balancer.wait_for_exit()

    def test_told_to_stop_while_it_starts_it_ends_at_once(
        self, endpoint: HttpEndpoint, tmp_path: Path
    ) -> None:
        """Its workers are at their first snapshot until it was told."""
        told = tmp_path / "told"
        policy = {"name": "tests.scenario.held_policy:Held", "until": str(told)}
        pool = {"endpoints": [endpoint.name], "policy": policy}
        balancer = Balancer(tmp_path, {"pools": {"main": pool}})
        balancer.wait_for_event("admin")
        balancer.signal(signal.SIGTERM)
        balancer.wait_for_event("stopping")
        told.touch()
        balancer.wait_for_exit()
        assert not balancer.has_said("started")

    def test_nothing_is_left_of_a_balancer_that_stopped(
        self, serve: Serve, endpoint: HttpEndpoint, tmp_path: Path
    ) -> None:
        balancer = serve({"endpoints": [endpoint.name]})
        workers = balancer.worker_pids()
        balancer.stop()
        assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
        assert list((tmp_path / "run").iterdir()) == []


class TestWorkerDeath:
    def test_a_killed_worker_is_replaced_at_once_and_the_others_serve_on(
        self, serve: Serve, endpoint: HttpEndpoint
    ) -> None:
        balancer = serve({"endpoints": [endpoint.name]})
        clients = connect_to_each_worker(balancer)
        first, second = balancer.worker_pids()
        os.kill(first, signal.SIGKILL)
        assert clients[1].get().status == 200, "its own connections do not notice"
        said = balancer.wait_for_event("worker.ended")["message"]
        assert said == "worker 0 was killed by SIGKILL; restarting it at once"
        wait_until(
            lambda: balancer.status()["workers"][0]["state"] == "ready", "the successor serves"
        )
        status = balancer.status()
        assert [worker["restarts"] for worker in status["workers"]] == [1, 0]
        assert status["workers"][1]["pid"] == second
        wait_until(
            lambda: balancer.status()["totals"]["connections"] == 1,
            "the dead one's clients are counted no more",
        )

    def test_only_what_ran_inside_the_killed_worker_fails(
        self, serve: Serve, endpoint: HttpEndpoint
    ) -> None:
        """Clients that wait in its queue are served by its successor."""
        balancer = serve({"endpoints": [endpoint.name]})
        address = balancer.address()
        for kills in range(1, 3):
            victim = balancer.worker_pids()[kills % 2]
            os.kill(victim, signal.SIGKILL)
            for _ in range(20):
                with Client(address) as client:
                    assert client.get().status == 200
            balancer.wait_for_event("worker.ended", kills)
            wait_until(lambda: 0 not in balancer.worker_pids(), "both run again")

    def test_counts_in_metrics_never_fall(self, serve: Serve, endpoint: HttpEndpoint) -> None:
        balancer = serve({"endpoints": [endpoint.name], "workers": 1})
        for _ in range(5):
            with balancer.connect() as client:
                client.get()
        wait_until(lambda: balancer.endpoint(endpoint.name)["requests"] == 5, "all are counted")
        os.kill(balancer.worker_pids()[0], signal.SIGKILL)
        with balancer.connect() as client:
            client.get()
        wait_until(lambda: balancer.endpoint(endpoint.name)["requests"] == 6, "totals go on")
        assert balancer.endpoint(endpoint.name)["in_flight"] == 0


class TestSupervisorDeath:
    def test_workers_serve_on(self, serve: Serve, endpoint: HttpEndpoint) -> None:
        balancer = serve({"endpoints": [endpoint.name]})
        address = balancer.address()
        kept = balancer.connect()
        assert kept.get().status == 200
        balancer.signal(signal.SIGKILL)
        balancer.wait_for_exit(-signal.SIGKILL)
        assert kept.get().status == 200
        for _ in range(10):
            with Client(address) as client:
                assert client.get().status == 200

    def test_a_successor_takes_over_and_no_request_fails(
        self, serve: Serve, endpoint: HttpEndpoint, free_port: int
    ) -> None:
        balancer = serve({"endpoints": [endpoint.name], "listen": f"127.0.0.1:{free_port}"})
        orphans = balancer.worker_pids()
        with Traffic(balancer.address()) as traffic:
            traffic.wait_for_more(50)
            balancer.signal(signal.SIGKILL)
            balancer.wait_for_exit(-signal.SIGKILL)
            traffic.wait_for_more(50)
            balancer.restart()
            wait_until(
                lambda: not any(Path(f"/proc/{pid}").exists() for pid in orphans),
                "the orphans have finished",
                timeout_s=START_S,
            )
            traffic.wait_for_more(50)
        assert balancer.has_said("orphans.relieved")


class TestStart:
    def test_a_port_in_use_is_an_error_that_names_the_owner(
        self, serve: Serve, endpoint: HttpEndpoint, tmp_path: Path
    ) -> None:
        first = serve({"endpoints": [endpoint.name]})
        port = first.address()[1]
        second = Balancer(tmp_path, {"endpoints": [endpoint.name], "listen": f"127.0.0.1:{port}"})
        with pytest.raises(AssertionError, match="it ended with 1"):
            second.wait_until_ready()
        said = second.said()
        assert f"listener 'main' cannot listen on 127.0.0.1:{port}: another Penstock" in said
        assert f"end it with `kill {first.process.pid}`" in said
        assert f"(Penstock is already running there: pid {first.process.pid})" in said
        assert "Traceback" not in said

    def test_a_world_that_workers_cannot_run_is_an_error(self, tmp_path: Path) -> None:
        document = {"endpoints": ["127.0.0.1:9"], "request_log": "/nowhere/requests.log"}
        balancer = Balancer(tmp_path, document)
        with pytest.raises(AssertionError, match="it ended with 1"):
            balancer.wait_until_ready()
        assert "/nowhere" in balancer.said()

    def test_a_name_without_an_address_stops_no_start(
        self, serve: Serve, endpoint: HttpEndpoint
    ) -> None:
        localhost = f"localhost:{endpoint.port}"
        balancer = serve({"endpoints": ["http://nowhere.invalid:80", f"http://{localhost}"]})
        with balancer.connect() as client:
            assert client.get().status == 200
        assert balancer.wait_for_event("name.not_found")["name"] == "nowhere.invalid"
        assert balancer.endpoint("nowhere.invalid:80")["state"] == "down"
        wait_until(
            lambda: balancer.endpoint(localhost)["connected_to"] == f"127.0.0.1:{endpoint.port}",
            "the address in use is shown",
        )

    def test_descriptors_are_as_many_as_the_system_allows(
        self, serve: Serve, endpoint: HttpEndpoint
    ) -> None:
        balancer = serve({"endpoints": [endpoint.name]})
        limits = Path(f"/proc/{balancer.worker_pids()[0]}/limits").read_text()
        soft, hard = next(
            line.split()[3:5] for line in limits.splitlines() if line.startswith("Max open files")
        )
        assert soft == hard


def connect_to_each_worker(balancer: Balancer) -> list[Client]:
    """One client of each worker, in the workers' order; each has been served."""

    def counts() -> list[int]:
        return [worker["requests"] for worker in balancer.status()["workers"]]

    found: dict[int, Client] = {}
    served = sum(counts())
    while len(found) < 2:
        before = counts()
        client = balancer.connect()
        client.get()
        served += 1
        wait_until(partial(_is_served, counts, served), "the request is counted")
        index = next(
            i for i, (old, new) in enumerate(zip(before, counts(), strict=True)) if new > old
        )
        if index in found:
            client.close()
        else:
            found[index] = client
    return [found[0], found[1]]


def _is_served(counts: Callable[[], list[int]], requests: int) -> bool:
    return sum(counts()) == requests
