"""Upgrades: another process of Penstock takes over from the one that serves; nothing is lost."""

import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from penstock.control.upgrade.asking import AskingError, ask_for_upgrade
from tests.harness.balancer import START_S, Balancer, is_there
from tests.harness.datagrams import UdpClient, UdpEndpoint
from tests.harness.endpoint import EndpointConnection, Script, ScriptedEndpoint
from tests.harness.http_endpoint import HttpEndpoint
from tests.harness.messages import answer_of, get
from tests.harness.traffic import Traffic
from tests.harness.waiting import wait_until
from tests.scenario.conftest import Serve


def test_no_request_is_lost_over_upgrades_and_reloads(
    serve: Serve, endpoint: HttpEndpoint, tmp_path: Path
) -> None:
    service_manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    service_manager.bind(str(tmp_path / "notify"))
    balancer = serve({"endpoints": [endpoint.name], "workers": 1})
    old = balancer.pid
    address = balancer.address()
    balancer.ask("/api/v1/weight", {"pool": "main", "endpoint": endpoint.name, "weight": 3})
    generation = balancer.status()["generation"]
    with Traffic(address) as traffic:
        traffic.wait_for_more(20)
        balancer.begin_upgrade()
        balancer.reload()
        assert balancer.wait_for_upgrade() != old
        traffic.wait_for_more(20)
        balancer.reload()
        balancer.begin_upgrade()
        balancer.wait_for_upgrade()
        traffic.wait_for_more(20)
    assert balancer.address() == address
    assert balancer.endpoint(endpoint.name)["weight"] == 3, "what operators said is handed over"
    assert balancer.status()["generation"] > generation
    told = said_to(service_manager)
    assert told.index("READY=1") < told.index(f"MAINPID={balancer.pid}")
    assert any(each.startswith("RELOADING=1") for each in told)


def answer_when_told(connection: EndpointConnection) -> None:
    """Holds every request until the test lets it go on."""
    while True:
        connection.receive_head()
        connection.go_on.wait()
        connection.send(answer_of(b"at last"))


@pytest.mark.large
def test_old_workers_finish_what_they_have_and_limits_hold_over_both(
    serve: Serve, scripted: Callable[[Script], ScriptedEndpoint]
) -> None:
    endpoint = scripted(answer_when_told)
    pool = {"endpoints": [{"url": endpoint.name, "max_in_flight": 1}]}
    balancer = serve({"pools": {"main": pool}, "workers": 1})
    held = balancer.connect()
    held.send(get())
    wait_until(lambda: endpoint.requests_begun == 1, "the request arrived")
    idle = balancer.connect()
    balancer.begin_upgrade()
    balancer.wait_for_upgrade()
    assert balancer.process.is_alive(), "the old one has a request to finish"
    with balancer.connect() as client:
        assert client.get().status == 503, "it counts in the new one too"
    assert balancer.endpoint(endpoint.name)["in_flight"] == 1
    endpoint.connection().go_on.set()
    response = held.read_response()
    assert (response.status, response.body) == (200, b"at last")
    balancer.wait_for_exit()
    idle.close()
    wait_until(
        lambda: balancer.endpoint(endpoint.name)["in_flight"] == 0, "the old one counts no more"
    )
    client = balancer.connect()
    client.send(get())
    wait_until(lambda: endpoint.requests_begun == 2, "there is room for it now")
    endpoint.connection(1).go_on.set()
    assert client.read_response().status == 200


def test_one_that_does_not_get_ready_leaves_all_as_it_was(
    serve: Serve, endpoint: HttpEndpoint, tmp_path: Path
) -> None:
    document = {"endpoints": [endpoint.name], "workers": 1}
    balancer = serve(document)
    with Traffic(balancer.address()) as traffic:
        balancer.write({**document, "request_log": "/nowhere/requests.log"})
        with pytest.raises(AskingError, match=r"this version goes on: .*/nowhere"):
            ask_for_upgrade(tmp_path / "run", None, [sys.executable, "-P", "-m", "penstock"])
        with pytest.raises(AskingError, match="this version goes on: /nowhere: No such file"):
            ask_for_upgrade(tmp_path / "run", balancer.pid, ["/nowhere"])
        traffic.wait_for_more(20)
    assert balancer.status()["pid"] == balancer.process.pid


@pytest.mark.large
def test_udp_sessions_keep_their_endpoints_over_another_layout_and_back(
    serve: Serve, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        endpoints = [stack.enter_context(UdpEndpoint()) for _ in range(3)]
        balancer = serve(
            {
                "listeners": {"arena": {"address": "127.0.0.1:0", "protocol": "udp"}},
                "pools": {"main": {"endpoints": [f"udp://{each.name}" for each in endpoints]}},
                "workers": 1,
            }
        )
        clients = [UdpClient(balancer.address("arena")) for _ in range(6)]
        for client in clients:
            stack.callback(client.close)
        before = [client.ask(b"who") for client in clients]
        assert len(set(before)) == 3
        drained = {"pool": "main", "endpoint": endpoints[0].name}
        balancer.ask("/api/v1/drain", drained)

        def upgrade(command: list[str]) -> None:
            asking = stack.enter_context(ThreadPoolExecutor(1))
            told = asking.submit(ask_for_upgrade, tmp_path / "run", None, command)
            while not told.done():  # no datagram is lost meanwhile
                assert [client.ask(b"who") for client in clients] == before
            assert "serves" in told.result()
            balancer.wait_for_upgrade()
            assert [client.ask(b"who") for client in clients] == before
            assert balancer.endpoint(endpoints[0].name)["state"] == "draining"

        upgrade([sys.executable, "-m", "tests.harness.other_layout"])
        assert "laid out otherwise" in balancer.wait_for_event("upgrade.own_board")["message"]
        upgrade([sys.executable, "-P", "-m", "penstock"])


class TestKilledInTheMiddle:
    """The new one's workers are at their first snapshot when it happens."""

    @pytest.fixture
    def told(self, tmp_path: Path) -> Path:
        return tmp_path / "told"

    @pytest.fixture
    def balancer(self, serve: Serve, endpoint: HttpEndpoint, told: Path) -> Balancer:
        told.touch()
        policy = {"name": "tests.scenario.held_policy:Held", "until": str(told)}
        pool = {"endpoints": [endpoint.name], "policy": policy}
        return serve({"pools": {"main": pool}, "workers": 1})

    def begin(self, balancer: Balancer, told: Path) -> int:
        """The pid of the new one, once its worker was started."""
        files = told.parent / "run"
        told.unlink()
        balancer.begin_upgrade()
        wait_until(lambda: len(pids_in(files)) == 2, "it starts its worker", timeout_s=START_S)
        (new,) = pids_in(files) - {balancer.pid}
        return new

    def test_the_old_one_goes_on_without_the_new_one(self, balancer: Balancer, told: Path) -> None:
        with Traffic(balancer.address()) as traffic:
            new = self.begin(balancer, told)
            traffic.wait_for_more(10)
            os.kill(new, signal.SIGKILL)
            told.touch()
            said = balancer.wait_for_event("upgrade.failed")["message"]
            assert "this version goes on" in said
            wait_until(
                lambda: pids_in(told.parent / "run") == {balancer.pid},
                "the new one's worker has finished",
                timeout_s=2 * START_S,
            )
            traffic.wait_for_more(20)
        assert balancer.reload()["ok"]

    def test_the_new_one_goes_on_without_the_old_one(self, balancer: Balancer, told: Path) -> None:
        orphans = balancer.worker_pids()
        with Traffic(balancer.address()) as traffic:
            self.begin(balancer, told)
            traffic.wait_for_more(10)
            balancer.kill_supervisor()
            traffic.wait_for_more(10)
            told.touch()
            balancer.wait_for_upgrade()
            wait_until(
                lambda: not any(map(is_there, orphans)),
                "its workers have finished",
                timeout_s=2 * START_S,
            )
            traffic.wait_for_more(20)
        balancer.wait_for_exit(-signal.SIGKILL)


def said_to(service_manager: socket.socket) -> list[str]:
    """All that it was told, once."""
    found: list[str] = []
    with service_manager, suppress(BlockingIOError):
        service_manager.setblocking(False)
        while True:
            found.append(service_manager.recv(4096).decode())
    return found


def pids_in(directory: Path) -> set[int]:
    """Of supervisors that run or left workers, and have started one."""
    records = []
    for file in directory.glob("supervisor-*.json"):
        with suppress(FileNotFoundError):  # it has just ended
            records.append(json.loads(file.read_bytes()))
    return {record["supervisor"]["pid"] for record in records}
