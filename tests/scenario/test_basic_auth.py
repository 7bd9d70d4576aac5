"""Users and passwords of a site, checked beside the loop."""

from base64 import b64encode
from pathlib import Path

import bcrypt

from tests.harness.client import Client
from tests.harness.http_endpoint import HttpEndpoint
from tests.harness.waiting import wait_until
from tests.scenario.conftest import Serve


def shown(user: str, password: str) -> str:
    return "Authorization: Basic " + b64encode(f"{user}:{password}".encode()).decode()


def status(client: Client, *fields: str) -> int:
    return client.get("/", *fields).status


def test_who_shows_a_users_password_is_let_in(
    serve: Serve, endpoint: HttpEndpoint, tmp_path: Path
) -> None:
    hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
    (tmp_path / "users").write_text(f"alice:{hashed}\n")
    route = {"pool": "site", "basic_auth": {"file": "users", "user_header": "X-User"}}
    pools = {"site": {"endpoints": [endpoint.name]}}
    balancer = serve({"pools": pools, "routes": [route], "workers": 1})
    client = balancer.connect()
    refused = client.get("/")
    assert refused.status == 401
    assert refused.headers.all("www-authenticate") == ['Basic realm="penstock", charset="UTF-8"']
    assert status(client, shown("alice", "wrong")) == 401
    assert status(client, shown("bob", "secret")) == 401
    for _ in range(2):  # checked, and remembered
        assert status(client, shown("alice", "secret"), "X-User: root") == 200
        request = endpoint.last
        assert request.headers.all("x-user") == ["alice"]
        assert request.headers.all("authorization") == []
    told = [status(client, shown("alice", f"guess {n}")) for n in range(25)]
    assert told.count(429) >= 5
    assert status(balancer.connect(), shown("alice", "secret")) == 200


def test_who_is_taken_out_of_the_file_is_let_in_no_more_without_a_reload(
    serve: Serve, endpoint: HttpEndpoint, tmp_path: Path
) -> None:
    def hashed(password: bytes) -> str:
        return bcrypt.hashpw(password, bcrypt.gensalt(4)).decode()

    users = tmp_path / "users"
    users.write_text(f"alice:{hashed(b'secret')}\nbob:{hashed(b'other')}\n")
    route = {"pool": "site", "basic_auth": "users"}
    pools = {"site": {"endpoints": [endpoint.name]}}
    balancer = serve({"pools": pools, "routes": [route], "workers": 1})
    client = balancer.connect()
    assert status(client, shown("alice", "secret")) == 200
    users.write_text(f"bob:{hashed(b'other')}\ncarol:{hashed(b'third')}\n")
    wait_until(lambda: status(client, shown("carol", "third")) == 200, "a new user counts")
    assert status(client, shown("alice", "secret")) == 401, "on a connection that is open too"
    assert status(client, shown("bob", "other")) == 200
