"""Replays against a server: on time whatever the server does, measured from when due."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web
from click.testing import CliRunner

from penstock.cli.replay import replay
from penstock.fleet.emulated import Handler
from penstock.fleet.engine.server import EngineServer
from penstock.fleet.engine.spec import EngineSpec
from penstock.fleet.faults import FaultCommand
from penstock.fleet.replay.client import Api, Outcome, StreamClient, api_base, first_model
from penstock.fleet.replay.result import read_result
from penstock.fleet.replay.run import Replay
from penstock.fleet.replay.session import Message, Session, Text, Turn, Workload
from tests.harness.endpoint import EndpointConnection, ScriptedEndpoint, refuse_connections

EVENT = b'data: {"choices":[{"index":0,"delta":{"content":" hi"}}]}\n\n'
DONE = b"data: [DONE]\n\n"


@pytest_asyncio.fixture
async def engine() -> AsyncIterator[EngineServer]:
    server = EngineServer(EngineSpec("engine", speedup=50.0))
    await server.start()
    yield server
    await server.stop()


def turn(seed: int, wait_s: float = 0.0, tokens: int = 64) -> Turn:
    return Turn(wait_s, (Message("user", Text((seed,), tokens)),), output_tokens=4)


async def outcomes_of(
    url: str, workload: Workload, *, api: Api = "chat", speedup: float = 1.0, timeout_s: float = 20
) -> list[Outcome]:
    found: list[Outcome] = []
    model = "emulated-model"
    client = StreamClient(url, model, api, headers={}, timeout_s=timeout_s, keep_answers=True)
    async with client:
        await Replay(workload, client, found.append, speedup=speedup).run()
    return found


async def server_answering(handler: Handler) -> web.AppRunner:
    application = web.Application()
    application.router.add_route("*", "/v1/{path:.*}", handler)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner


def url_of(runner: web.AppRunner) -> str:
    return f"http://127.0.0.1:{runner.addresses[0][1]}"


@pytest.mark.parametrize("api", ["chat", "completions"])
async def test_answers_are_read_to_the_last_token(engine: EngineServer, api: Api) -> None:
    workload = Workload("one", (Session(0.0, (turn(1),)),))
    [outcome] = await outcomes_of(engine.url, workload, api=api)
    assert outcome.failure == ""
    assert outcome.output_tokens == 4
    assert len(outcome.gaps_s) == 3
    assert len("".join(outcome.answer)) == 4 * 4
    assert outcome.prompt_tokens >= 64
    assert outcome.due <= outcome.sent < outcome.first_token <= outcome.ended


async def test_the_second_of_two_equal_prompts_is_reported_as_cached(
    engine: EngineServer,
) -> None:
    alone = [Session(float(at), (turn(7, tokens=512),)) for at in range(2)]
    first, second = await outcomes_of(engine.url, Workload("two", tuple(alone)), speedup=5.0)
    assert first.cached_tokens == 0
    assert second.cached_tokens >= 480


async def test_requests_are_sent_when_due_though_none_is_answered() -> None:
    """None is answered before all have come."""
    asked = 0
    all_came = asyncio.Event()

    async def handler(request: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        if asked == 5:
            all_came.set()
        await all_came.wait()
        return web.Response(body=EVENT + DONE)

    runner = await server_answering(handler)
    try:
        sessions = tuple(Session(0.05 * number, (turn(number),)) for number in range(5))
        found = await outcomes_of(url_of(runner), Workload("five", sessions))
    finally:
        await runner.cleanup()
    assert [outcome.failure for outcome in found] == [""] * 5
    dues = sorted(outcome.due for outcome in found)
    assert [round(due - dues[0], 3) for due in dues] == [0.0, 0.05, 0.1, 0.15, 0.2]


async def test_a_request_that_is_not_answered_is_given_up(engine: EngineServer) -> None:
    await engine.apply(FaultCommand("stall"))
    workload = Workload("one", (Session(0.0, (turn(1),)),))
    [outcome] = await outcomes_of(engine.url, workload, timeout_s=0.1)
    assert outcome.failure == "timeout"


async def test_a_closed_session_waits_thinks_and_brings_the_answer_along(
    engine: EngineServer,
) -> None:
    turns = (turn(1, tokens=256), turn(2, wait_s=0.1), turn(3, wait_s=0.1))
    session = Session(0.0, turns, closed=True, answers_kept=True)
    first, second, third = await outcomes_of(engine.url, Workload("talk", (session,)))
    assert second.due >= first.ended + 0.1
    assert third.due >= second.ended + 0.1
    for earlier, later in ((first, second), (second, third)):
        known = earlier.prompt_tokens + earlier.output_tokens - 1
        assert later.cached_tokens == known // 16 * 16


@pytest.mark.parametrize(
    ("status", "body", "failure", "detail"),
    [
        (503, b"", "status 503", ""),
        (400, b'{"error": {"message": "too\\n long", "code": 400}}', "status 400", "too long"),
        (422, b'{"error": "no such model"}', "status 422", "no such model"),
        (404, b'{"detail": [{"loc": ["body"]}]}', "status 404", '{"detail": [{"loc": ["body"]}]}'),
        (502, b"<html>\x1b[2J " + b"x" * 100_000, "status 502", "<html>�[2J " + "x" * 288 + "…"),
        (200, b"", "cut off before [DONE]", ""),
        (200, EVENT, "cut off before [DONE]", ""),
        (200, DONE, "an empty answer", ""),
        (200, b"data: {\n\n" + DONE, "a chunk that is no JSON", "{"),
        (200, b'data: {"error": {"message": "no"}}\n\n' + DONE, "error in the stream", "no"),
    ],
)
async def test_an_answer_that_is_not_whole_is_a_failure_and_says_why(
    status: int, body: bytes, failure: str, detail: str
) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=status, body=body)

    runner = await server_answering(handler)
    try:
        workload = Workload("one", (Session(0.0, (turn(1),)),))
        [outcome] = await outcomes_of(url_of(runner), workload)
        assert (outcome.failure, outcome.detail) == (failure, detail)
    finally:
        await runner.cleanup()


async def test_a_server_that_cannot_be_reached_is_named_with_the_reason() -> None:
    workload = Workload("one", (Session(0.0, (turn(1),)),))
    with refuse_connections() as nobody:
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        [outcome] = await outcomes_of(f"http://{address}", workload)
        assert (outcome.failure, outcome.detail) == (
            "cannot connect",
            f"{address}: connection refused",
        )
        arguments = ["--generate", "agentic", "--url", f"http://{address}"]
        run = await asyncio.to_thread(CliRunner().invoke, replay, arguments)
    assert run.output == (
        f"Error: cannot find out the model from http://{address}: connection refused\n"
    )


@pytest.mark.parametrize(
    ("sent", "failure"),
    [(b"", "connection lost"), (b"HTTP/1.1 200 OK\r\n\r\n", "cut off before [DONE]"),
     (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ndata", "cut off in the middle")],
)  # fmt: skip
async def test_a_connection_that_ends_early_is_called_by_what_it_left(
    sent: bytes, failure: str
) -> None:
    def send_and_close(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.send(sent)

    with ScriptedEndpoint(send_and_close) as endpoint:
        workload = Workload("one", (Session(0.0, (turn(1),)),))
        [outcome] = await outcomes_of(f"http://127.0.0.1:{endpoint.port}", workload)
    assert outcome.failure == failure


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
async def test_events_cut_anywhere_are_put_together(line_end: bytes) -> None:
    """With comments between them, and a list of choices that is null."""
    stream = EVENT + b": ping\n\n" + EVENT + b'id: 1\ndata:{"choices": null}\n\n' + DONE

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for byte in stream.replace(b"\n", line_end):
            await response.write(bytes([byte]))
            await asyncio.sleep(0)
        return response

    runner = await server_answering(handler)
    try:
        workload = Workload("one", (Session(0.0, (turn(1),)),))
        [outcome] = await outcomes_of(url_of(runner), workload)
        assert outcome.failure == ""
        assert outcome.answer == [" hi", " hi"]
        assert outcome.output_tokens == 2
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("body", [b"hello", b"{}", b'{"data": []}', b"[]"])
async def test_a_server_that_lists_no_model_is_said_to(body: bytes) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=body)

    runner = await server_answering(handler)
    try:
        with pytest.raises(LookupError, match="lists no model"):
            await first_model(url_of(runner), {})
    finally:
        await runner.cleanup()


async def test_a_server_that_refuses_to_list_models_is_quoted() -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.json_response({"error": {"message": "an API key is needed"}}, status=401)

    runner = await server_answering(handler)
    try:
        with pytest.raises(LookupError, match="answers 401: an API key is needed"):
            await first_model(url_of(runner), {})
    finally:
        await runner.cleanup()


async def test_a_server_that_never_lists_its_models_is_given_up(engine: EngineServer) -> None:
    await engine.apply(FaultCommand("stall"))
    arguments = ["--generate", "agentic", "--timeout", "0.05", "--url", engine.url]
    run = await asyncio.to_thread(CliRunner().invoke, replay, arguments)
    assert run.exit_code == 1
    assert "no answer" in run.output


async def test_the_model_is_learned_from_the_server(engine: EngineServer) -> None:
    assert await first_model(engine.url, {}) == "emulated-model"
    assert api_base("http://a/v1/") == api_base("http://a") == "http://a/v1"


async def test_the_command_writes_results_that_compare(
    engine: EngineServer, tmp_path: Path
) -> None:
    runner = CliRunner()
    results = [tmp_path / "a.json", tmp_path / "b.json"]
    shape = "--generate multi-turn --requests 12 --rate 100 --think-s 0.1 --output-tokens 5"
    for seed, path in enumerate(results):
        arguments = [*shape.split(), "--url", engine.url, "--json", str(path), "--slo-ttft", "5"]
        run = await asyncio.to_thread(
            runner.invoke, replay, [*arguments, "--seed", str(seed), "--name", path.name]
        )
        assert run.exit_code == 0, run.output
        assert "TTFT mean" in run.output
    assert read_result(results[0]).requests == 12
    assert read_result(results[0]).good == 12
    page = tmp_path / "page.html"
    compared = runner.invoke(replay, ["--compare", *map(str, results), "--html", str(page)])
    assert compared.exit_code == 0, compared.output
    assert "change" in compared.output
    assert "b.json" in page.read_text()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--generate", "agentic"], "--url"),
        (["--url", "http://127.0.0.1:9"], "TRACE or --generate"),
        (["--generate", "agentic", "--url", "http://127.0.0.1:9"], "cannot find out the model"),
        (
            ["--generate", "agentic", "--url", "http://a", "--model", "m", "--header", "x"],
            "is not NAME:VALUE",
        ),
        (["--generate", "agentic", "--url", "localhost:9"], "does not begin with http://"),
        (["--url", "http://a", "--json", "/no/such/result.json"], "no directory '/no/such'"),
        (["--compare", __file__, __file__, "--html", "/no/such/page"], "no directory '/no/such'"),
    ],
)
def test_what_the_command_lacks_is_said(arguments: list[str], complaint: str) -> None:
    run = CliRunner().invoke(replay, arguments)
    assert run.exit_code != 0
    assert complaint in run.output
