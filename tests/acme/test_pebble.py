"""Certificates fetched by ACME, from pebble, the test server of those who run Let's Encrypt."""

import json
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.harness.balancer import Balancer
from tests.harness.client import Client
from tests.harness.http_endpoint import HttpEndpoint
from tests.harness.messages import get
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.skipif(
    shutil.which("pebble") is None, reason="Debian's package pebble is not installed"
)
PATIENCE_S = 60.0


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class Pebble:
    """An authority that confirms names at a port of this machine."""

    def __init__(self, directory: Path, http_port: int, tls_port: int) -> None:
        self.ca = trustme.CA()
        self.ca_file = directory / "authority.pem"
        self.ca.cert_pem.write_to_path(str(self.ca_file))
        server = self.ca.issue_cert("127.0.0.1")
        certificate, key = directory / "pebble.pem", directory / "pebble.key"
        server.cert_chain_pems[0].write_to_path(str(certificate))
        server.private_key_pem.write_to_path(str(key))
        port = free_port()
        self.directory_url = f"https://127.0.0.1:{port}/dir"
        settings = {
            "listenAddress": f"127.0.0.1:{port}",
            "managementListenAddress": f"127.0.0.1:{free_port()}",
            "certificate": str(certificate),
            "privateKey": str(key),
            "httpPort": http_port,
            "tlsPort": tls_port,
        }
        file = directory / "pebble.json"
        file.write_text(json.dumps({"pebble": settings}))
        self.log = directory / "pebble.log"
        # It waits a while before it looks, and refuses one nonce in twenty, unless told.
        environment = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "5"}
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                ["pebble", "-config", str(file)], stdout=output, stderr=output, env=environment
            )
        wait_until(lambda: self._listens(port), "pebble listens", timeout_s=PATIENCE_S)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()

    def _listens(self, port: int) -> bool:
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def http_port() -> int:
    return free_port()


@pytest.fixture
def tls_port() -> int:
    return free_port()


@pytest.fixture
def pebble(tmp_path: Path, http_port: int, tls_port: int) -> Iterator[Pebble]:
    made = Pebble(tmp_path, http_port, tls_port)
    yield made
    made.close()


def serving(
    endpoint: HttpEndpoint, pebble: Pebble, http_port: int, state: Path
) -> dict[str, object]:
    """A shop that sends all clients from HTTP to HTTPS."""
    acme = {
        "names": ["localhost"],
        "directory": pebble.directory_url,
        "ca_file": str(pebble.ca_file),
        "email": "operator@example.com",
        "agree_terms": True,
    }
    return {
        "listeners": {
            "web": {"address": f"127.0.0.1:{http_port}"},
            "secure": {"address": "127.0.0.1:0", "tls": {"acme": acme}},
        },
        "routes": [
            {"match": {"listeners": "web"}, "redirect": {"scheme": "https", "status": 308}},
            {"pool": "main"},
        ],
        "pools": {"main": {"endpoints": [endpoint.name]}},
        "state": str(state),
        "workers": 2,
    }


def unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def test_a_certificate_is_fetched_kept_and_used(
    tmp_path: Path, endpoint: HttpEndpoint, pebble: Pebble, http_port: int
) -> None:
    state = tmp_path / "state"
    document = serving(endpoint, pebble, http_port, state)
    with Balancer(tmp_path, document) as balancer:
        balancer.wait_for_event("acme.issued")
        wait_until(lambda: not problem(balancer), "it is used", timeout_s=PATIENCE_S)
        with Client(
            balancer.address("secure"), tls=unverified(), server_name="localhost"
        ) as client:
            assert client.get().status == 200
        with balancer.connect("web") as client:
            assert client.get("/.well-known/acme-challenge/unknown").status == 308, (
                "our tokens only"
            )
    (file,) = state.glob("acme-*.pem")
    assert file.stat().st_mode & 0o077 == 0
    assert {each.stat().st_mode & 0o077 for each in state.iterdir()} == {0}
    pebble.close()
    balancer = Balancer(tmp_path, document)
    with balancer:
        with Client(
            balancer.address("secure"), tls=unverified(), server_name="localhost"
        ) as client:
            assert client.get().status == 200, "the next process needs no authority"
        assert not balancer.has_said("acme.failed")


def test_a_certificate_is_fetched_over_the_listener_itself_that_strangers_may_not_come_to(
    tmp_path: Path, endpoint: HttpEndpoint, pebble: Pebble, http_port: int, tls_port: int
) -> None:
    """TLS-ALPN-01, and an authority that the listener's ``allow`` does not name."""
    document = serving(endpoint, pebble, http_port, tmp_path / "state")
    listeners = document["listeners"]
    assert isinstance(listeners, dict)
    secure = listeners["secure"]
    secure["address"] = f"127.0.0.1:{tls_port}"
    secure["tls"]["acme"]["challenge"] = "tls-alpn-01"
    secure["allow"] = ["192.0.2.0/24"]
    del listeners["web"]
    document["routes"] = [{"pool": "main"}]
    with Balancer(tmp_path, document) as balancer:
        balancer.wait_for_event("acme.issued")
        with pytest.raises(OSError):
            Client(balancer.address("secure"), tls=unverified(), server_name="localhost").get()
    assert not list((tmp_path / "state").glob("acme-challenge-*"))


def test_until_it_is_there_only_that_listeners_handshakes_fail(
    tmp_path: Path, endpoint: HttpEndpoint, pebble: Pebble, http_port: int
) -> None:
    """The authority cannot reach the port that it is to ask at."""
    document = serving(endpoint, pebble, http_port, tmp_path / "state")
    listeners = document["listeners"]
    assert isinstance(listeners, dict)
    listeners["web"] = {"address": "127.0.0.1:0"}
    with Balancer(tmp_path, document) as balancer:
        said = balancer.wait_for_event("acme.failed")["message"]
        assert "localhost" in said
        assert "is not there yet" in problem(balancer)
        with pytest.raises(ssl.SSLError):
            Client(balancer.address("secure"), tls=unverified(), server_name="localhost")
        with balancer.connect("web") as client:
            client.send(get())
            assert client.read_response().status == 308


def problem(balancer: Balancer) -> str:
    (secure,) = (each for each in balancer.status()["listeners"] if each["name"] == "secure")
    found: str = secure["certificate_problem"]
    return found
