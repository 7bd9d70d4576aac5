"""``forward_auth``: a service says whether a request may go on, and who asks."""

from typing import Any

import msgspec
import pytest

from penstock.core.snapshot import ForwardAuth, Snapshot, Tenant
from tests.harness.fake.stage import Stage, member, pool_of
from tests.harness.fake.stream import End
from tests.harness.messages import answer, answer_of, get, post
from tests.harness.world import route, world
from tests.unit.dataplane.stage.asking import status_of

YES = answer("Content-Length: 0", "X-User: alice", "X-Other: no", body=b"")


def guarded(**settings: Any) -> Snapshot:
    spec = ForwardAuth("auth", "/verify", ("X-User",), **settings)
    auth = msgspec.structs.replace(pool_of(1), name="auth", row=1)
    asking = route("main", name="all", forward_auth=spec)
    return world(pool_of(0), auth, routes=[asking], tenants=(Tenant("acme"),))


def ask(stage: Stage, request: bytes) -> End:
    client = stage.client()
    stage.send(client, request)
    return client


def test_a_yes_lets_go_on_with_what_the_service_tells_and_nobody_else_can() -> None:
    with Stage(guarded()) as stage:
        client = ask(stage, get("/page?a=1", "Cookie: s=1", "X-User: root", "X_User: root"))
        assert not stage.servers[0].accepted
        service, asked = stage.asked(1)
        assert asked.startswith(b"GET /verify HTTP/1.1\r\n")
        assert b"\r\nX-Forwarded-Uri: /page?a=1\r\n" in asked
        assert b"\r\nX-Forwarded-Method: GET\r\n" in asked
        assert b"\r\nCookie: s=1\r\n" in asked
        stage.send(service, YES)
        endpoint, data = stage.asked(0)
        assert b"\r\nX-User: alice\r\n" in data
        assert b"root" not in data
        assert b"X-Other" not in data
        stage.send(endpoint, answer_of(b"hello"))
        assert status_of(client.read()) == 200


def test_a_body_waits_and_goes_along_whole() -> None:
    with Stage(guarded()) as stage:
        sent = post("Content-Length: 10", body=b"01234")
        client = ask(stage, sent)
        stage.send(client, b"56789")
        service, asked = stage.asked(1)
        assert b"Content-Length" not in asked
        stage.send(service, YES)
        endpoint, data = stage.asked(0)
        assert data.endswith(b"0123456789")
        stage.send(endpoint, answer_of(b"hello"))
        assert status_of(client.read()) == 200


@pytest.mark.parametrize("status", ["401 Who", "403 No", "302 There"])
def test_any_other_answer_is_the_clients(status: str) -> None:
    with Stage(guarded()) as stage:
        client = ask(stage, get("/"))
        service, _ = stage.asked(1)
        told = ("Location: /login", "WWW-Authenticate: Basic", "Content-Length: 4", "X-In: no")
        stage.send(service, answer(*told, status=status, body=b"page"))
        got = client.read()
        assert status_of(got) == int(status[:3])
        assert b"\r\nLocation: /login\r\n" in got
        assert b"X-In" not in got
        assert got.endswith(b"page")
        assert not stage.servers[0].accepted


def test_a_service_that_fails_or_is_slow_lets_nobody_in() -> None:
    with Stage(guarded(timeout_s=1.0)) as stage:
        client = ask(stage, get("/"))
        service, _ = stage.asked(1)
        stage.send(service, answer_of(b"", status="500 Broken"))
        assert status_of(client.read()) == 503
        client = ask(stage, get("/"))
        stage.pass_time(2.0)
        assert status_of(client.read()) == 503
        client = ask(stage, get("/"))
        stage.asked(1)[0].reset()
        stage.settle()
        assert status_of(client.read()) == 503
        assert not stage.servers[0].accepted


def test_a_client_that_leaves_leaves_nothing_behind() -> None:
    with Stage(guarded()) as stage:
        client = ask(stage, get("/"))
        client.close()
        stage.settle()
        assert stage.in_flight() == 0


def test_an_answer_that_is_kept_counts_for_the_same_head_and_no_longer_than_it_may() -> None:
    with Stage(guarded(cache_s=5.0)) as stage:
        for turn in range(3):
            client = ask(stage, get("/", "Cookie: s=1"))
            if turn == 0:
                stage.send(stage.asked(1)[0], YES)
            endpoint, data = stage.asked(0)
            assert b"X-User: alice" in data
            stage.send(endpoint, answer_of(b"hello"))
            assert status_of(client.read()) == 200
        assert stage.in_flight() == 0
        client = ask(stage, get("/", "Cookie: s=2"))
        assert stage.in_flight() == 1  # it is asked
        client.close()
        stage.pass_time(6.0)
        ask(stage, get("/", "Cookie: s=1")).close()
        stage.settle()
        assert len(stage.servers[1].accepted) >= 2


def test_what_is_answered_here_is_not_told_to_those_who_were_not_let_in() -> None:
    spec = ForwardAuth("auth")
    auth = msgspec.structs.replace(pool_of(1), name="auth", row=1)
    engines = pool_of(member(0, models=("big",)), kind="llm")
    asking = route("main", name="all", forward_auth=spec)
    with Stage(world(engines, auth, routes=[asking])) as stage:
        client = ask(stage, get("/v1/models"))
        service, _ = stage.asked(1)
        stage.send(service, answer("Content-Length: 0", status="403 No", body=b""))
        assert status_of(client.read()) == 403
        client = ask(stage, get("/v1/models"))
        stage.send(stage.asked(1)[0], YES)
        assert b'"big"' in client.read()


def test_the_service_tells_which_tenant_asks() -> None:
    with Stage(guarded(tenant_header="X-Tenant", user_header="X-Person")) as stage:
        client = ask(stage, get("/", "X-Tenant: other"))
        service, _ = stage.asked(1)
        stage.send(service, answer("Content-Length: 0", "X-Tenant: acme", "X-Person: al", body=b""))
        endpoint, _ = stage.asked(0)
        stage.send(endpoint, answer_of(b"hello"))
        assert status_of(client.read()) == 200
        (row,) = stage.context.limits.usage.take()
        assert row[:2] == ["acme", "al"]
