"""Choices of endpoints are recorded as the balancer samples them, and told to people."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from click.testing import CliRunner, Result

from penstock.cli.main import penstock_command
from penstock.fleet.balancer import BalancerProcess
from penstock.fleet.engine.server import EngineServer
from tests.harness.endpoint import EndpointConnection, Script, ScriptedEndpoint
from tests.harness.http_endpoint import HttpEndpoint
from tests.harness.log import whole_lines
from tests.harness.serving import start_balancer, two_engines
from tests.harness.waiting import wait_until
from tests.scenario.conftest import Serve

MODEL = "emulated-model"
LONG = "the water flows through the gate of the mill and turns the wheel " * 400


@pytest_asyncio.fixture
async def engines() -> AsyncIterator[list[EngineServer]]:
    async with two_engines(speedup=20.0) as started:
        yield started


@pytest_asyncio.fixture
async def balancer(engines: list[EngineServer], tmp_path: Path) -> AsyncIterator[BalancerProcess]:
    pool = {
        "kind": "llm",
        "policy": {"name": "marginal-cost", "explore": 0.0},
        "endpoints": [engine.url for engine in engines],
        "decisions": {"sample": 1, "keep": 5, "file": str(tmp_path / "decisions.jsonl")},
        "shadow": ["round-robin", "cache-aware"],
    }
    process = await start_balancer(tmp_path, {"pools": {"engines": pool}, "workers": 2})
    yield process
    await process.stop()


async def ask(session: aiohttp.ClientSession, url: str, text: str) -> str:
    """Stream an answer; the id of the request."""
    messages = [{"role": "system", "content": LONG}, {"role": "user", "content": text}]
    body = {"model": MODEL, "messages": messages, "max_tokens": 12, "stream": True}
    async with session.post(f"{url}/v1/chat/completions", json=body) as response:
        assert response.status == 200
        await response.read()
        return response.headers["X-Request-ID"]


async def ctl(balancer: BalancerProcess, *arguments: str) -> Result:
    return await asyncio.to_thread(invoke, balancer.admin_url, *arguments)


def invoke(admin_url: str, *arguments: str) -> Result:
    return CliRunner().invoke(
        penstock_command, ["ctl", "--admin", admin_url, *arguments], prog_name="penstock"
    )


async def record_of(balancer: BalancerProcess, request_id: str) -> dict[str, Any]:
    """The record of a request that has ended."""
    for _ in range(500):
        told = await ctl(balancer, "explain", request_id, "--json")
        assert told.exit_code == 0, told.output
        record: dict[str, Any] = json.loads(told.output)
        if "came_true" in record:
            return record
        await asyncio.sleep(0.01)
    raise AssertionError("it never ended")


async def test_a_decision_is_told_with_its_terms_what_was_predicted_and_what_came_true(
    session: aiohttp.ClientSession, balancer: BalancerProcess, engines: list[EngineServer]
) -> None:
    first = await record_of(balancer, await ask(session, balancer.url, "one"))
    second = await record_of(balancer, await ask(session, balancer.url, "two"))
    names = {engine.url.removeprefix("http://") for engine in engines}
    assert {each["endpoint"] for each in second["candidates"]} == names
    assert second["policy"] == "marginal-cost"
    assert second["request"]["model"] == MODEL
    assert second["request"]["prompt_tokens"] > 1000
    assert len(second["request"]["blocks"]) == 16 * len(second["request"]["block_ends"])
    terms = {each["endpoint"]: each["terms"] for each in second["candidates"]}
    assert second["picked"] == min(terms, key=lambda name: terms[name]["cost"])
    assert second["predicted"]["ttft_s"] == terms[second["picked"]]["ttft_s"]
    true = second["came_true"]
    assert (true["end"], true["status"], true["output_tokens"]) == ("done", 200, 12)
    assert 0.0 < true["ttft_s"] <= true["total_s"]
    # The first prompt left its prefix in both workers' sight only if the same one took both.
    if second["picked"] == first["picked"]:
        assert true["cached_tokens"] > 1000


async def test_people_read_it_as_a_table(
    session: aiohttp.ClientSession, balancer: BalancerProcess
) -> None:
    request_id = await ask(session, balancer.url, "one")
    record = await record_of(balancer, request_id)
    told = await ctl(balancer, "explain", request_id)
    assert told.exit_code == 0, told.output
    lines = told.output.splitlines()
    assert lines[0].startswith(f"request {request_id}")
    arrow = next(line for line in lines if "→ " in line)
    assert record["picked"] in arrow
    assert f"picked {record['picked']}, by the policy marginal-cost" in told.output
    assert "200, done after" in told.output
    listed = await ctl(balancer, "decisions")
    assert request_id in listed.output


async def test_only_the_newest_are_kept_and_all_are_in_the_file_which_is_rotated(
    session: aiohttp.ClientSession, balancer: BalancerProcess, tmp_path: Path
) -> None:
    ids = [await ask(session, balancer.url, str(number)) for number in range(12)]
    listed = await ctl(balancer, "decisions", "--json", "--limit", "100")
    kept = [json.loads(line)["id"] for line in listed.output.splitlines()]
    assert len(kept) <= 10  # five of each worker
    assert ids[-1] in kept
    times = [json.loads(line)["time"] for line in listed.output.splitlines()]
    assert times == sorted(times, reverse=True)
    file, moved = tmp_path / "decisions.jsonl", tmp_path / "decisions.1"

    def in_file(path: Path) -> list[str]:
        return [json.loads(line)["id"] for line in whole_lines(path)]

    wait_until(lambda: sorted(in_file(file)) == sorted(ids), "all are written")
    again = CliRunner().invoke(
        penstock_command, ["simulate", "--decisions", str(file), "-p", "round-robin"]
    )
    assert again.exit_code == 0, again.output
    row = next(line.split() for line in again.output.splitlines() if "round-robin" in line)
    assert row[:4] == ["engines", "marginal-cost", "round-robin", "12"]
    file.rename(moved)
    os.kill(balancer.pid, signal.SIGUSR1)
    wait_until(file.exists, "the file is opened anew")
    later = await ask(session, balancer.url, "later")
    wait_until(lambda: in_file(file) + in_file(moved).count(later) * [later] == [later], "moved")


async def test_policies_in_the_shadow_are_compared_with_the_pool_s_own(
    session: aiohttp.ClientSession, balancer: BalancerProcess
) -> None:
    """With one hot prefix, round robin would send half of the prompts to the cold engine."""
    for number in range(16):
        await ask(session, balancer.url, str(number))
    pools: list[dict[str, Any]] = []
    for _ in range(500):
        pools = (await balancer.status(session))["pools"]
        if pools[0]["shadow"][0]["decisions"] == 16:
            break
        await asyncio.sleep(0.01)
    in_turn, aware = pools[0]["shadow"]
    assert (in_turn["policy"], aware["policy"]) == ("round-robin", "cache-aware")
    assert in_turn["decisions"] == aware["decisions"] == in_turn["judged"] == 16
    assert 0.2 < in_turn["different_share"] < 0.8
    assert in_turn["regret_s"] < 0.0  # it would have cost more
    assert aware["different"] <= in_turn["different"]
    shown = await ctl(balancer, "shadow")
    assert shown.exit_code == 0, shown.output
    assert "round-robin" in shown.output
    url = f"{balancer.admin_url}/metrics"
    async with session.get(url) as response:
        lines = (await response.text()).splitlines()
    labels = '{policy="round-robin",pool="engines"}'
    assert f"penstock_shadow_decisions_total{labels} 16.0" in lines


def test_a_client_cannot_ask_to_be_recorded(serve: Serve, endpoint: HttpEndpoint) -> None:
    balancer = serve({"endpoints": [endpoint.name], "workers": 1})
    client = balancer.connect()
    client.send(
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Penstock-Explain: 1\r\nX-Explain: 1\r\n"
        b"X-Penstock-Sample: 1\r\nX-Request-ID: mine\r\n\r\n"
    )
    client.read_response()
    assert balancer.ask("/api/v1/decisions")[1] == {"decisions": []}
    told = invoke(balancer.admin_url, "explain", "mine")
    assert told.exit_code == 1
    assert "no recorded decision has the id mine" in told.output


def test_a_retried_request_has_a_record_for_each_attempt(
    serve: Serve, scripted: Callable[[Script], ScriptedEndpoint], endpoint: HttpEndpoint
) -> None:
    def hang_up(connection: EndpointConnection) -> None:
        connection.receive_head()
        connection.close()

    failing = scripted(hang_up)
    pool = {
        "endpoints": [failing.name, endpoint.name],
        "policy": "first-available",
        "decisions": {"sample": 1},
    }
    balancer = serve({"pools": {"main": pool}, "workers": 1})
    response = balancer.connect().get()
    assert response.status == 200
    request_id = response.headers["x-request-id"]
    records = balancer.ask(f"/api/v1/decisions?id={request_id}")[1]["decisions"]
    told = {each["attempt"]: (each["picked"], each["came_true"]["end"]) for each in records}
    assert told == {1: (failing.name, "reset"), 2: (endpoint.name, "done")}
    left = {each["endpoint"] for each in records[0]["candidates"]}
    assert left == {endpoint.name}


def test_the_rate_of_records_is_bounded(serve: Serve, endpoint: HttpEndpoint) -> None:
    pool = {"endpoints": [endpoint.name], "decisions": {"sample": 1, "max_per_s": 0.001}}
    balancer = serve({"pools": {"main": pool}, "workers": 1})
    client = balancer.connect()
    for _ in range(20):
        client.get()
    assert len(balancer.ask("/api/v1/decisions?limit=100")[1]["decisions"]) <= 1


@pytest.mark.parametrize("limit", ["0", "x", "100000"])
def test_a_wrong_limit_is_refused(serve: Serve, endpoint: HttpEndpoint, limit: str) -> None:
    balancer = serve({"endpoints": [endpoint.name], "workers": 1})
    status, answer = balancer.ask(f"/api/v1/decisions?limit={limit}")
    assert status == 400
    assert "limit" in json.dumps(answer)
