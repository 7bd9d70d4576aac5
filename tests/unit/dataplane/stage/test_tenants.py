"""Keys: who is let in, for how long, and where the key of a client never arrives."""

from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

from penstock.core.snapshot import HeaderEdit, Key, RequestLog, Snapshot, Tenant
from penstock.core.snapshot.changes import endpoint_changes
from tests.harness.fake.stage import Stage, pool_of
from tests.harness.fake.stream import End
from tests.harness.messages import answer_of, get
from tests.harness.world import route, world
from tests.unit.dataplane.stage.asking import status_of

SECRET = "k" * 40
OTHER = "o" * 40


def key(secret: str = SECRET, name: str = "ci", **settings: object) -> Key:
    given = {"name": name, "sha256": sha256(secret.encode()).hexdigest(), **settings}
    return msgspec.convert(given, Key)


def keyed(*tenants: Tenant, demands: str = "required", **settings: object) -> Snapshot:
    members = pool_of(0, **settings)
    asking = route("main", name="all", tenants=demands)
    return world(members, routes=[asking], tenants=tenants or (Tenant("acme", (key(),)),))


def ask(stage: Stage, *headers: str, target: str = "/", client: End | None = None) -> End:
    client = client or stage.client()
    stage.send(client, get(target, *headers))
    return client


@pytest.mark.parametrize(
    "header", [f"Authorization: Bearer {SECRET}", f"X-API-Key: {SECRET}", f"api-key: {SECRET}"]
)
def test_a_key_lets_in_and_reaches_no_endpoint(header: str) -> None:
    with Stage(keyed()) as stage:
        ask(stage, header)
        endpoint, data = stage.asked()
        assert b"GET / " in data
        assert SECRET.encode() not in data
        stage.send(endpoint, answer_of(b"hello"))


def test_no_key_and_wrong_ones_are_refused_before_any_endpoint_is_asked() -> None:
    with Stage(keyed()) as stage:
        for headers in ([], [f"Authorization: Bearer {OTHER}"], ["Authorization: Basic abc"]):
            answer = ask(stage, *headers).read()
            assert status_of(answer) == 401
            assert b"WWW-Authenticate: Bearer" in answer
        assert not stage.servers[0].accepted


def test_where_a_key_is_optional_a_wrong_one_is_refused_all_the_same() -> None:
    with Stage(keyed(demands="optional")) as stage:
        assert status_of(ask(stage, f"X-API-Key: {OTHER}").read()) == 401
        ask(stage)
        endpoint, _ = stage.asked()
        stage.send(endpoint, answer_of(b"hello"))


def test_a_key_in_query_and_subprotocol_is_taken_out_too() -> None:
    with Stage(keyed()) as stage:
        ask(
            stage,
            f"Authorization: Bearer {SECRET}",
            f"Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.{SECRET}",
            target=f"/v1?a=1&api_key=x&b={SECRET}&c=2",
        )
        endpoint, data = stage.asked()
        assert b"GET /v1?a=1&c=2 " in data
        assert SECRET.encode() not in data
        assert b"Sec-WebSocket-Protocol: realtime\r\n" in data
        stage.send(endpoint, answer_of(b"hello"))


def test_the_pools_own_key_takes_the_place_of_the_clients() -> None:
    own = HeaderEdit("set", "Authorization", "Bearer engine")
    with Stage(keyed(request_headers=(own,))) as stage:
        ask(stage, f"Authorization: Bearer {SECRET}")
        endpoint, data = stage.asked()
        assert data.count(b"Authorization:") == 1
        assert b"Authorization: Bearer engine" in data
        stage.send(endpoint, answer_of(b"hello"))


def test_a_key_ends_on_an_open_connection_whose_head_is_remembered() -> None:
    with Stage(keyed()) as stage:
        ends = stage.system.wall_clock() + 10.0
        stage.apply(keyed(Tenant("acme", (key(expires_at=ends),))))
        client = ask(stage, f"X-API-Key: {SECRET}")
        for _ in range(2):
            endpoint, _ = stage.asked()
            stage.send(endpoint, answer_of(b"hello"))
            assert status_of(client.read()) == 200
            ask(stage, f"X-API-Key: {SECRET}", client=client)
        endpoint, _ = stage.asked()
        stage.send(endpoint, answer_of(b"hello"))
        client.read()
        stage.pass_time(11.0)
        ask(stage, f"X-API-Key: {SECRET}", client=client)
        assert status_of(client.read()) == 401


def test_a_revocation_counts_at_once_as_a_change_of_tenants_alone() -> None:
    before = world(
        pool_of(0),
        routes=[route("main", name="all", tenants="required")],
        found_tenants=(Tenant("acme", (key(),)),),
    )
    with Stage(before) as stage:
        client = ask(stage, f"X-API-Key: {SECRET}")
        endpoint, _ = stage.asked()
        stage.send(endpoint, answer_of(b"hello"))
        assert status_of(client.read()) == 200
        running = stage.running().spec
        revoked = (Tenant("acme", (key(revoked=True),)),)
        after = msgspec.structs.replace(running, generation=99, found_tenants=revoked)
        changes = endpoint_changes(running, after)
        assert changes is not None
        stage.worker.configure_endpoints(msgspec.to_builtins(changes))
        ask(stage, f"X-API-Key: {SECRET}", client=client)
        assert status_of(client.read()) == 401


def test_an_address_that_shows_many_wrong_keys_is_turned_away_for_a_while() -> None:
    with Stage(keyed()) as stage:
        statuses = [status_of(ask(stage, f"X-API-Key: {n:040}").read()) for n in range(25)]
        assert statuses == [401] * 20 + [429] * 5
        ask(stage, f"X-API-Key: {SECRET}")  # who has a key is not held up by others
        endpoint, _ = stage.asked()
        stage.send(endpoint, answer_of(b"hello"))
        stage.pass_time(4.0)
        assert status_of(ask(stage, f"X-API-Key: {OTHER}").read()) == 401


def test_the_log_tells_tenant_and_key_by_their_names(tmp_path: Path) -> None:
    log = tmp_path / "requests.jsonl"
    logged = msgspec.structs.replace(keyed(), request_log=RequestLog("file", str(log)))
    with Stage(logged) as stage:
        ask(stage, f"X-API-Key: {SECRET}", target=f"/?api_key={SECRET}&x=1")
        endpoint, _ = stage.asked()
        stage.send(endpoint, answer_of(b"hello"))
    line = log.read_text()
    assert '"tenant":"acme","key":"ci"' in line
    assert '"target":"/?x=1"' in line
    assert SECRET not in line
