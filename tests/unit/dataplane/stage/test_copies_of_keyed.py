"""Copies of requests that show a key, or are refused."""

from penstock.core.snapshot import Snapshot, Tenant
from tests.harness.fake.stage import Stage, pool_of
from tests.harness.fake.stream import End
from tests.harness.messages import answer_of, get
from tests.harness.world import route, world
from tests.unit.dataplane.stage.asking import status_of
from tests.unit.dataplane.stage.test_limits import Supervisor, limit
from tests.unit.dataplane.stage.test_tenants import SECRET, key

QUERY = f"/?api_key={SECRET}&x=1"


def mirrored() -> Snapshot:
    rate = limit("it", "requests", 1.0, "minute")
    routes = [route("main", name="all", tenants="required", mirror="copies")]
    pools = (pool_of(0, limits=(rate,)), pool_of(1, name="copies", row=1))
    return world(*pools, routes=routes, tenants=(Tenant("acme", (key(),)),))


def ask(stage: Stage, *fields: str) -> End:
    client = stage.client()
    shown = f"Sec-WebSocket-Protocol: a, openai-insecure-api-key.{SECRET}"
    stage.send(client, get(QUERY, f"Authorization: Bearer {SECRET}", f"api-key: {SECRET}", shown))
    return client


def test_a_copy_has_no_key_and_of_one_over_its_limit_there_is_none() -> None:
    with Stage(mirrored()) as stage:
        Supervisor(stage)
        client = ask(stage)
        for row in (0, 1):
            endpoint, came = stage.asked(row)
            assert b"GET /?x=1 " in came
            assert SECRET.encode() not in came
            stage.send(endpoint, answer_of(b"hello"))
        assert status_of(client.read()) == 200
        assert status_of(ask(stage).read()) == 429
        assert not any(end.inbox for server in stage.servers for end in server.accepted)
