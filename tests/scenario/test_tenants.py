"""Keys as people use them: made while the balancer runs, revoked while clients are connected."""

from pathlib import Path

from click.testing import CliRunner

from penstock.cli.keys import keys
from tests.harness.client import Client
from tests.harness.http_endpoint import HttpEndpoint
from tests.harness.waiting import wait_until
from tests.scenario.conftest import Serve


def status(client: Client, key: str) -> int:
    return client.get("/", f"Authorization: Bearer {key}").status


def test_a_key_made_counts_and_one_revoked_does_not_on_connections_that_are_open(
    serve: Serve, endpoint: HttpEndpoint, tmp_path: Path
) -> None:
    directory = tmp_path / "tenants"
    directory.mkdir()
    balancer = serve({"endpoints": [endpoint.name], "tenants_directory": str(directory)})
    clients = [balancer.connect() for _ in range(4)]
    made = CliRunner().invoke(keys, ["create", "acme", "--directory", str(directory)])
    key = made.output.splitlines()[0]
    wait_until(lambda: balancer.has_said("tenants"), "the key counts")
    assert [status(client, key) for client in clients] == [200] * 4
    CliRunner().invoke(keys, ["revoke", "acme", "key-1", "--directory", str(directory)])
    balancer.wait_for_event("tenants", 2)
    assert [status(client, key) for client in clients] == [401] * 4
