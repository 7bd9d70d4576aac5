"""The admin server: what it answers, and whom it refuses."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from penstock.admin.server import AdminServer
from penstock.control.commands.stop import Stop
from tests.unit.admin.balancer import PlainBalancer, overview

TOKEN = "a-secret-token-of-some-length"
Client = TestClient[web.Request, web.Application]
E0 = {"pool": "main", "endpoint": "e0"}
# A value for each field that a command has.
WORDS = {"switch": "on", "text": "soon", "retry_after": 9}
ADDED = {"action": "add", "url": "http://a1:80", "zone": "z1", "models": "m1", "save": True}
EXAMPLES = {**E0, **WORDS, **ADDED, "weight": 0.5, "id": "a1", "limit": 3, "settings": {"a": 1}}
EXAMPLES |= {"route": "r", "position": 2, "days": 7, "tenant": "t"}


@pytest.fixture
async def client(balancer: PlainBalancer) -> AsyncIterator[Client]:
    """Of a server without a token."""
    application = AdminServer(balancer, balancer.commands, None).application()
    async with TestClient(TestServer(application)) as made:
        yield made


@pytest.fixture
async def guarded(balancer: PlainBalancer) -> AsyncIterator[Client]:
    """Of a server with one."""
    application = AdminServer(balancer, balancer.commands, TOKEN).application()
    async with TestClient(TestServer(application)) as made:
        yield made


async def test_probes(client: Client, balancer: PlainBalancer) -> None:
    assert (await client.get("/healthz")).status == 200
    assert (await client.get("/readyz")).status == 200
    balancer.shown = overview(stopping=True)
    answer = await client.get("/readyz")
    assert answer.status == 503
    assert await answer.json() == {"ready": False, "reasons": ["stopping"]}
    assert (await client.get("/healthz")).status == 200, "stopping is alive"


async def test_a_request_that_cannot_be_read_is_refused_and_fills_no_log(
    balancer: PlainBalancer, caplog: pytest.LogCaptureFixture
) -> None:
    server = AdminServer(balancer, balancer.commands, None)
    host, port = await server.start("127.0.0.1", 0)
    try:
        for said in (b"\x16\x03\x01 no TLS here\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0"):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(said)
            assert (await reader.readline()).startswith(b"HTTP/1.0 400 ")
            writer.close()
    finally:
        await server.stop()
    assert caplog.records == []


async def test_an_error_of_its_own_is_logged(
    balancer: PlainBalancer, caplog: pytest.LogCaptureFixture
) -> None:
    server = AdminServer(balancer, balancer.commands, None)
    balancer.shown = None  # type: ignore[assignment]  # nothing that could be rendered
    host, port = await server.start("127.0.0.1", 0)
    try:
        async with aiohttp.ClientSession() as session:
            assert (await session.get(f"http://{host}:{port}/metrics")).status == 500
    finally:
        await server.stop()
    [record] = caplog.records
    assert (record.name, record.levelname) == ("penstock.http", "ERROR")
    assert record.exc_info


async def test_metrics_are_plain_text(client: Client) -> None:
    answer = await client.get("/metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert "penstock_snapshot_generation 3.0" in await answer.text()


async def test_status_tells_of_pools_endpoints_and_workers(client: Client) -> None:
    status = await (await client.get("/api/v1/status")).json()
    assert status["ready"] is True
    assert [each["name"] for each in status["pools"][0]["endpoints"]] == ["e0", "e1"]
    assert status["pools"][0]["endpoints"][0]["reason"] == "first check: answered 200"
    assert [each["pid"] for each in status["workers"]] == [100, 101]
    assert status["listeners"] == [
        {"name": "main", "address": "127.0.0.1:8080", "scheme": "http"}
        | {"crl_ends": None, "certificate_problem": ""}
    ]
    assert status["reloads"] == {"ok": 2, "failed": 1, "last": None}


async def test_every_command_has_a_route_of_its_name(
    guarded: Client, balancer: PlainBalancer
) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    for kind in balancer.commands:
        values = {name: EXAMPLES[name] for name in kind.__struct_fields__}
        path = f"/api/v1/{kind.name}"
        if kind.method == "GET":
            params = {k: str(v) for k, v in values.items()}
            answer = await guarded.get(path, params=params, headers=headers)
        else:
            answer = await guarded.post(path, json=values, headers=headers)
        assert (answer.status, await answer.json()) == (200, {"message": "so it is"})
        assert balancer.given.pop() == kind(**values)


async def test_what_a_command_answers_has_its_status(
    client: Client, balancer: PlainBalancer
) -> None:
    balancer.status = 422
    answer = await client.post("/api/v1/reload", json={})
    assert (answer.status, await answer.json()) == (422, {"message": "so it is"})


async def test_a_command_without_fields_needs_no_body(
    client: Client, balancer: PlainBalancer
) -> None:
    answer = await client.post("/api/v1/stop", headers={"Content-Type": "application/json"})
    assert answer.status == 200
    assert balancer.given == [Stop()]


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "limit=100000", "pol=main"])
async def test_a_wrong_question_is_refused(
    client: Client, balancer: PlainBalancer, query: str
) -> None:
    answer = await client.get(f"/api/v1/decisions?{query}")
    assert answer.status == 400
    assert query.partition("=")[0] in (await answer.json())["error"]
    assert balancer.given == []


@pytest.mark.parametrize(
    ("path", "body", "status", "reason"),
    [
        ("drain", {"pool": "main", "endpoint": "e7"}, 404, "no endpoint called 'e7'"),
        ("drain", {"pool": "main"}, 400, "missing required field `endpoint`"),
        ("drain", {**E0, "endpont": "e0"}, 400, "unknown field `endpont`"),
        ("weight", {**E0, "weight": -1.0}, 400, "Expected `float` >= 0.0"),
        ("weight", {**E0, "weight": 1e4}, 400, "a weight is a number from 0 to 1000"),
        ("weight", {**E0, "weight": "much"}, 400, "Expected `float`"),
    ],
)
async def test_wrong_commands_are_explained_and_change_nothing(
    client: Client, balancer: PlainBalancer, path: str, body: object, status: int, reason: str
) -> None:
    answer = await client.post(f"/api/v1/{path}", json=body)
    assert answer.status == status
    assert reason in (await answer.json())["error"]
    assert balancer.given == []


async def test_a_body_that_is_no_json_is_refused(client: Client) -> None:
    answer = await client.post(
        "/api/v1/drain", data=b"{", headers={"Content-Type": "application/json"}
    )
    assert answer.status == 400


async def test_a_huge_body_is_refused(client: Client, balancer: PlainBalancer) -> None:
    answer = await client.post("/api/v1/drain", json={**E0, "pool": "m" * 100_000})
    assert answer.status == 413
    assert balancer.given == []


class TestToken:
    @pytest.mark.parametrize("shown", [None, "Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN])
    async def test_without_the_token_nothing_is_told_or_done(
        self, guarded: Client, balancer: PlainBalancer, shown: str | None
    ) -> None:
        headers = {} if shown is None else {"Authorization": shown}
        for path in ("/metrics", "/api/v1/status"):
            answer = await guarded.get(path, headers=headers)
            assert answer.status == 401
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert (await guarded.post("/api/v1/stop", json={}, headers=headers)).status == 401
        assert balancer.given == []

    async def test_with_it_all_is_open_under_any_name(self, guarded: Client) -> None:
        headers = {"Authorization": f"Bearer {TOKEN}", "Host": "lb.example:9900"}
        assert (await guarded.get("/metrics", headers=headers)).status == 200
        assert (await guarded.post("/api/v1/drain", json=E0, headers=headers)).status == 200

    async def test_probes_need_none_and_tell_little(
        self, guarded: Client, balancer: PlainBalancer
    ) -> None:
        balancer.shown = overview(stopping=True)
        assert (await guarded.get("/healthz")).status == 200
        assert await (await guarded.get("/readyz")).json() == {"ready": False}


class TestHostilePage:
    """A page in a browser on this machine, where no token is configured."""

    @pytest.mark.parametrize(
        "host", ["evil.example", "evil.example:9900", "127.0.0.1.evil.example"]
    )
    async def test_rebinding_its_own_name_to_us_gains_nothing(
        self, client: Client, balancer: PlainBalancer, host: str
    ) -> None:
        for path in ("/metrics", "/api/v1/status"):
            assert (await client.get(path, headers={"Host": host})).status == 403
        answer = await client.post("/api/v1/stop", json={}, headers={"Host": host})
        assert answer.status == 403
        assert balancer.given == []

    @pytest.mark.parametrize("host", ["localhost:9900", "127.0.0.1:9900", "[::1]:9900", "10.0.0.1"])
    async def test_names_of_this_machine_pass(self, client: Client, host: str) -> None:
        assert (await client.get("/api/v1/status", headers={"Host": host})).status == 200

    async def test_a_form_posted_across_origins_is_refused(
        self, client: Client, balancer: PlainBalancer
    ) -> None:
        plain = {"Content-Type": "text/plain"}
        answer = await client.post("/api/v1/stop", data=b"{}", headers=plain)
        assert answer.status == 415
        foreign = {"Origin": "http://evil.example"}
        assert (await client.post("/api/v1/stop", json={}, headers=foreign)).status == 403
        assert (
            await client.post("/api/v1/stop", json={}, headers={"Origin": "null"})
        ).status == 403
        assert balancer.given == []


async def test_port_0_is_told_and_an_address_in_use_is_refused(balancer: PlainBalancer) -> None:
    server = AdminServer(balancer, balancer.commands, None)
    host, port = await server.start("127.0.0.1", 0)
    try:
        url = f"http://{host}:{port}/healthz"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            assert answer.status == 200
        with pytest.raises(OSError, match="in use"):
            await AdminServer(balancer, balancer.commands, None).start(host, port)
    finally:
        await server.stop()
