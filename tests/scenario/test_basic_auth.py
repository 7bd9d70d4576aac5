"""Users and passwords of a site, checked beside the loop."""

from base64 import b64encode
from pathlib import Path

import bcrypt

from tests.harness.client import Client
from tests.harness.http_endpoint import HttpEndpoint
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
