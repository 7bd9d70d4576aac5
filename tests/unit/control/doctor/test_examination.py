"""A file, its addresses and its endpoints are looked at as a balancer would meet them."""

import socket
from pathlib import Path

import pytest
import trustme
from aiohttp import web

from penstock.control.doctor.examination import Examined, examine
from penstock.control.doctor.finding import Harm
from penstock.control.doctor.listening import DAY_S, judge_certificates, judge_end
from penstock.fleet.engine.server import EngineServer
from penstock.fleet.engine.spec import EngineSpec
from tests.unit.config.documents import load
from tests.unit.control.doctor.test_machine import GOOD

pytestmark = pytest.mark.asyncio


async def examined(tmp_path: Path, text: str) -> Examined:
    file = tmp_path / "penstock.yaml"
    file.write_text(f"workers: 1\nadmin: 'off'\n{text}")
    return await examine(file, GOOD)


def refused_port() -> int:
    """Where nobody listens: bound, and never accepted from."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def test_a_file_that_is_wrong_is_the_first_finding(tmp_path: Path) -> None:
    found = await examined(tmp_path, "endpoints: http://127.0.0.1:1\npolcy: random\n")
    assert found.worst is Harm.ERROR
    assert "did you mean 'policy'?" in found.findings[0].what
    assert found.findings[0].what.startswith("4:1: polcy")


async def test_endpoints_that_serve_models_are_told_with_engine_and_models(tmp_path: Path) -> None:
    engines = [EngineServer(EngineSpec(f"e{n}", speedup=100.0)) for n in range(2)]
    for each in engines:
        await each.start()
    try:
        urls = ", ".join(each.url for each in engines)
        good = f"listen: 127.0.0.1:0\nendpoints: [{urls}]\nkind: llm\nhealth_check: /health\n"
        found = await examined(tmp_path, good)
        assert found.findings == []
        assert [(each.engine, each.models) for each in found.endpoints] == [
            ("vLLM", ("emulated-model",))
        ] * 2
        unread = f"listen: 127.0.0.1:0\nendpoints: [{urls}]\nhealth_check: /no-such-path\n"
        found = await examined(tmp_path, unread)
        assert found.worst is Harm.WARNING
        told = [(each.what, each.do) for each in found.findings if each.where.startswith("main/")]
        assert sum("its health check fails: " in what for what, _ in told) == 2
        assert sum("`kind: llm`" in do for _, do in told) == 2
    finally:
        for each in engines:
            await each.stop()


async def test_what_cannot_be_reached_is_an_error_only_where_nothing_else_can(
    tmp_path: Path,
) -> None:
    gone = refused_port()
    text = f"listen: 127.0.0.1:0\nhealth_check: tcp\nendpoints: [127.0.0.1:{gone}"
    found = await examined(tmp_path, text + "]\n")
    assert found.worst is Harm.ERROR
    assert found.findings[0].what == "it cannot be reached: connection refused"
    with socket.create_server(("127.0.0.1", 0)) as there:
        found = await examined(tmp_path, f"{text}, 127.0.0.1:{there.getsockname()[1]}]\n")
    assert found.worst is Harm.WARNING


async def test_an_address_that_another_has_is_an_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        found = await examined(
            tmp_path, f"listen: 127.0.0.1:{port}\nendpoints: 127.0.0.1:{refused_port()}\n"
        )
    listening = [each for each in found.findings if each.where.startswith("listeners.")]
    assert [each.harm for each in listening] == [Harm.ERROR]
    assert "another process listens there" in listening[0].what


async def test_certificates_of_listeners_are_told_before_they_end(tmp_path: Path) -> None:
    issued = trustme.CA().issue_cert("www.example.com")
    issued.private_key_pem.write_to_path(tmp_path / "www.key")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "www.pem")
    configured = load(
        "listeners: {a: {address: ':8443', tls: {certificate: www.pem, key: www.key}}}\n"
        "endpoints: a:1\n",
        tmp_path,
    )
    assert list(judge_certificates(configured, 1.8e9)) == []
    [ended] = judge_certificates(configured, 1e12)
    assert (ended.harm, ended.where) == (Harm.ERROR, "listeners.a")
    [soon] = judge_end("a", "it", 10 * DAY_S, 0.0)
    assert (soon.harm, soon.what) == (Harm.WARNING, "it ends on 1970-01-11, in 10 days")
    assert list(judge_end("a", "it", 30 * DAY_S, 0.0)) == []


async def test_who_listens_at_the_admin_address_is_shown_no_token(tmp_path: Path) -> None:
    asked: list[web.Request] = []

    async def alive(request: web.Request) -> web.Response:
        asked.append(request)
        return web.json_response({"alive": True})

    application = web.Application()
    application.router.add_get("/{path:.*}", alive)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    file = tmp_path / "penstock.yaml"
    file.write_text(
        f"admin: {{address: 127.0.0.1:{port}, token: a-token-of-some-length-01}}\n"
        f"listen: 127.0.0.1:0\nendpoints: 127.0.0.1:{refused_port()}\n"
    )
    try:
        found = await examine(file, GOOD)
    finally:
        await runner.cleanup()
    assert found.running
    assert not [each for each in found.findings if each.where == "admin"]  # it is its own
    assert [(each.path, "Authorization" in each.headers) for each in asked] == [("/healthz", False)]


async def test_without_a_file_the_machine_alone_is_looked_at() -> None:
    assert (await examine(None, GOOD)).findings == []
