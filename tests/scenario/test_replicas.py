"""Two balancers and one store: what one has in flight the other sees, whatever befalls the store.

All balancers of a test are real processes, and the store is a real server. No request is lost.
"""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from time import sleep
from typing import Any

import pytest
from click.testing import CliRunner

from penstock.cli.keys import keys
from penstock.config.compile.store import parse_url
from penstock.control.events import Events
from penstock.control.store.shared import SharedStore
from penstock.control.store.store import NOT_THERE
from tests.harness.balancer import Balancer
from tests.harness.client import Client
from tests.harness.http_endpoint import Answer, HttpEndpoint, Recorded
from tests.harness.messages import get, post
from tests.harness.store_server import Sentinel, StoreServer
from tests.harness.traffic import Traffic
from tests.harness.waiting import wait_until

CHAT = "/v1/chat/completions"


class Holding:
    """An endpoint that holds requests for ``/hold`` until ``let_go``."""

    def __init__(self) -> None:
        self._go = threading.Event()
        self.endpoint = HttpEndpoint(self._answer)

    def let_go(self) -> None:
        self._go.set()

    def _answer(self, request: Recorded) -> Answer:
        if request.target == "/hold":
            self._go.wait(60.0)
        return Answer(body=self.endpoint.name.encode())


@pytest.fixture
def holding() -> Iterator[tuple[Holding, Holding]]:
    both = Holding(), Holding()
    with ExitStack() as stack:
        for each in both:
            stack.enter_context(each.endpoint)
            stack.callback(each.let_go)
        yield both


@pytest.fixture
def server(tmp_path: Path) -> Iterator[StoreServer]:
    with StoreServer(tmp_path / "store") as running:
        yield running


def start(stack: ExitStack, directory: Path, document: dict[str, Any]) -> Balancer:
    directory.mkdir()
    balancer = stack.enter_context(Balancer(directory, {"workers": 1, **document}))
    wait_until(lambda: balancer.status()["store"]["connected"], "it has the store")
    return balancer


def pair(stack: ExitStack, directory: Path, document: dict[str, Any]) -> tuple[Balancer, Balancer]:
    one = start(stack, directory / "one", document)
    two = start(stack, directory / "two", document)
    for each in (one, two):
        wait_until(lambda b=each: heard(b) == 1, "each hears the other")  # type: ignore[misc]
    return one, two


@asynccontextmanager
async def connected(store: SharedStore) -> AsyncIterator[SharedStore]:
    running = asyncio.create_task(store.run())
    try:
        yield store
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def heard(balancer: Balancer) -> int:
    return len(balancer.status()["store"]["balancers"])


def seen_in_flight(balancer: Balancer) -> int:
    found: int = sum(each["in_flight"] for each in balancer.status()["store"]["balancers"])
    return found


def test_one_sees_what_the_other_has_in_flight(
    tmp_path: Path, server: StoreServer, holding: tuple[Holding, Holding]
) -> None:
    endpoints = [each.endpoint.name for each in holding]
    document = {"store": server.url, "endpoints": endpoints, "policy": "least-request"}
    with ExitStack() as stack:
        one, two = pair(stack, tmp_path, document)
        client = one.connect()
        client.send(get("/hold"))
        wait_until(lambda: seen_in_flight(two) == 1, "it sees the other's request")
        wait_until(lambda: any(each.endpoint.requests for each in holding), "it came there")
        busy = next(each for each in holding if each.endpoint.requests)
        free = next(each for each in holding if each is not busy)
        asking = two.connect()
        for _ in range(20):
            assert asking.get().body == free.endpoint.name.encode()
        busy.let_go()
        assert client.read_response().status == 200
        wait_until(lambda: seen_in_flight(two) == 0, "it sees that it ended")
        drained = endpoints[0]
        one.ask("/api/v1/drain", {"pool": "main", "endpoint": drained})
        wait_until(lambda: two.endpoint(drained)["state"] == "draining", "it drains it too")
        assert two.endpoint(drained)["reason"] == "requested by an operator at another balancer"
        assert asking.get().body == endpoints[1].encode()
        one.stop()
        wait_until(lambda: heard(two) == 0, "it is gone at once")


@pytest.mark.large
def test_whatever_befalls_the_store_no_request_is_lost(
    tmp_path: Path, server: StoreServer, endpoint: HttpEndpoint, other_endpoint: HttpEndpoint
) -> None:
    """Slow, partitioned (it says nothing any more), flushed, full, killed, and back without
    memory."""
    document = {"store": server.url, "endpoints": [endpoint.name, other_endpoint.name]}
    with ExitStack() as stack:
        one, two = pair(stack, tmp_path, document)
        for each in (one, two):
            stack.enter_context(Traffic(each.address(), clients=1))
        traffic = stack.enter_context(Traffic(two.address(), clients=1))

        def connected(is_so: bool) -> None:
            def all_are() -> bool:
                return all(b.status()["store"]["connected"] is is_so for b in (one, two))

            wait_until(all_are, f"the store is {'there' if is_so else 'gone'}")

        for _ in range(3):
            server.client.client_pause(500)
            traffic.wait_for_more(50)
        assert heard(one) == heard(two) == 1, "a slow one is not gone"
        server.freeze()
        connected(False)
        traffic.wait_for_more(100)
        assert heard(one) == heard(two) == 0
        server.thaw()
        connected(True)
        wait_until(lambda: heard(one) == heard(two) == 1, "they hear each other again")
        server.client.flushall()
        server.client.config_set("maxmemory-policy", "noeviction")
        server.client.config_set("maxmemory", "1")
        traffic.wait_for_more(100)
        assert heard(one) == heard(two) == 1, "what is published needs no room"
        server.kill()
        connected(False)
        traffic.wait_for_more(100)
        stack.enter_context(server.again())
        connected(True)
        wait_until(lambda: heard(one) == heard(two) == 1, "they hear each other again")
        traffic.wait_for_more(100)
        kinds = [event["event"] for event in one.events() if event["event"].startswith("store.")]
        assert kinds == ["store.connected", "store.lost"] * 2 + ["store.connected"]


def test_a_balancer_starts_and_serves_without_the_store_that_it_names(
    tmp_path: Path, endpoint: HttpEndpoint
) -> None:
    with Balancer(
        tmp_path, {"workers": 1, "store": "redis://127.0.0.1:1", "endpoints": [endpoint.name]}
    ) as balancer:
        with balancer.connect() as client:
            assert client.get().status == 200
        store = balancer.status()["store"]
        assert not store["connected"]
        assert "onnect" in store["problem"]
        assert store["where"] == "127.0.0.1:1"


@pytest.mark.large
async def test_a_server_that_sentinels_name_in_its_place_is_followed(tmp_path: Path) -> None:
    """The first is killed; its replica, which has what was said, is promoted."""
    with ExitStack() as stack:
        first = stack.enter_context(StoreServer(tmp_path / "first"))
        second = stack.enter_context(
            StoreServer(tmp_path / "second", "--replicaof", f"127.0.0.1 {first.port}")
        )
        sentinel = stack.enter_context(Sentinel(tmp_path / "sentinel", first.port))
        url = f"redis+sentinel://127.0.0.1:{sentinel.port}/main"
        async with connected(SharedStore(parse_url(url), Events())) as store:
            revision = await store.put_if_unchanged("a", b"said", NOT_THERE)
            assert revision is not None
            values = "penstock:main:v1:{values}"
            wait_until(lambda: bool(second.client.hlen(values)), "it has it too")
            wait_until(sentinel.knows_a_replica, "it may take the first's place")
            connects = store.feed.connects
            first.kill()
            async with asyncio.timeout(60.0):
                while store.feed.connects == connects:  # noqa: ASYNC110 - nothing tells of it
                    await asyncio.sleep(0.02)
            found = await store.get("a")
            assert found is not None
            assert (found.value, found.revision) == (b"said", revision)
            later = await store.put_if_unchanged("a", b"and more", revision)
            assert later is not None
            assert later > revision


@pytest.mark.large
def test_conversations_go_on_where_they_began_at_any_balancer_with_the_store_and_without_it(
    tmp_path: Path, server: StoreServer
) -> None:
    """Twenty begin at one balancer and go on at the other; then the store dies."""
    with ExitStack() as stack:
        engines = [stack.enter_context(HttpEndpoint(chat_answer)) for _ in range(4)]
        document = {
            "store": server.url,
            "endpoints": [each.name for each in engines],
            "kind": "llm",
        }
        one, two = pair(stack, tmp_path, document)
        first, second = one.connect(), two.connect()
        texts = [f"{number} " * 4000 for number in range(20)]
        began = [ask(first, engines, text) for text in texts]
        assert len(set(began)) > 1, "they are spread"
        wait_until(lambda: told(two) >= 20, "it was told of them")
        went_on = [ask(second, engines, text + "and more") for text in texts]
        assert sum(a == b for a, b in zip(began, went_on, strict=True)) >= 19
        server.kill()
        wait_until(lambda: heard(two) == 0, "the store is gone")
        went_on = [ask(second, engines, text + "and more, and more") for text in texts]
        assert sum(a == b for a, b in zip(began, went_on, strict=True)) >= 19


def ask(client: Client, engines: list[HttpEndpoint], text: str) -> str:
    """Which engine was asked."""
    before = [len(each.requests) for each in engines]
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}).encode()
    kind = "Content-Type: application/json"
    client.send(post(f"Content-Length: {len(body)}", kind, body=body, target=CHAT))
    assert client.read_response().status == 200
    [asked] = [
        each.name
        for each, count in zip(engines, before, strict=True)
        if sum(r.target == CHAT for r in each.requests[count:]) == 1
    ]
    return asked


def chat_answer(request: Recorded) -> Answer:
    if request.target != CHAT:
        return Answer(status=404)
    message = {"role": "assistant", "content": "yes"}
    usage = {"prompt_tokens": 4000, "completion_tokens": 1, "total_tokens": 4001}
    answer = {
        "id": "a",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": usage,
    }
    headers = (("Content-Type", "application/json"),)
    return Answer(body=json.dumps(answer).encode(), headers=headers)


def told(balancer: Balancer) -> int:
    found: int = balancer.status()["store"]["prefixes"]
    return found


def test_a_budget_holds_over_both(tmp_path: Path, server: StoreServer) -> None:
    """Refused where the store is slow: then no more than the budget passes on any machine."""
    key = "k" * 40
    with ExitStack() as stack:
        endpoint = stack.enter_context(HttpEndpoint())
        budgets = {"requests": 30, "per": "ever"}
        document = {
            "store": {"url": server.url, "limits_when_gone": "refuse"},
            "endpoints": [endpoint.name],
            "tenants": {"a": {"keys": {"b": {"key": key}}, "budgets": budgets}},
        }
        both = pair(stack, tmp_path, document)
        passed = 0

        def asked() -> int:
            found = 0
            for balancer in both:
                client = balancer.connect()
                found += client.get("/", f"X-API-Key: {key}").status == 200
                client.close()
            return found

        def spent() -> bool:
            nonlocal passed
            passed += asked()
            return passed >= 30

        wait_until(spent, "what one does not use goes to the other")
        assert passed + sum(asked() for _ in range(5)) == 30


class Counting:
    """An endpoint that knows how many it had at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now = 0
        self.most = 0
        self.endpoint = HttpEndpoint(self._answer)

    def _answer(self, request: Recorded) -> Answer:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        sleep(0.02)
        with self._lock:
            self._now -= 1
        return Answer(body=b"served")


def test_an_endpoint_has_no_more_at_once_than_it_takes_whoever_sends_them(
    tmp_path: Path, server: StoreServer
) -> None:
    counting = Counting()
    with ExitStack() as stack:
        stack.enter_context(counting.endpoint)
        document = {
            "store": {"url": server.url},
            "pools": {
                "main": {
                    "endpoints": [{"url": counting.endpoint.name, "max_in_flight": 3}],
                    "admission": {"queue": {"length": 100, "timeout": "60s"}},
                }
            },
        }
        both = pair(stack, tmp_path, document)
        answers: list[int] = []

        def ask(balancer: Balancer) -> None:
            client = balancer.connect()
            answers.extend([client.get("/").status for _ in range(10)])
            client.close()

        asking = [threading.Thread(target=ask, args=(each,)) for each in both * 4]
        for each in asking:
            each.start()
        for each in asking:
            each.join(60.0)
        assert answers == [200] * 80
        assert 2 <= counting.most <= 3


def test_a_key_made_at_one_lets_in_at_the_other_and_one_revoked_there_at_neither(
    tmp_path: Path, server: StoreServer, endpoint: HttpEndpoint
) -> None:
    secret = tmp_path / "store-key"
    secret.write_text("a secret of the tests\n")
    directories = [tmp_path / name for name in ("tenants-one", "tenants-two")]
    with ExitStack() as stack:
        balancers = []
        for directory in directories:
            directory.mkdir()
            document = {
                "store": {"url": server.url, "secrets_key_file": str(secret), "tenants": True},
                "endpoints": [endpoint.name],
                "tenants_directory": str(directory),
            }
            balancers.append(start(stack, tmp_path / directory.name[8:], document))
        clients = [balancer.connect() for balancer in balancers]
        made = CliRunner().invoke(keys, ["create", "acme", "--directory", str(directories[0])])
        shown = f"Authorization: Bearer {made.output.splitlines()[0]}"
        for balancer in balancers:
            balancer.wait_for_event("tenants", 1)
        assert [client.get("/", shown).status for client in clients] == [200, 200]
        stored = server.client.hgetall("penstock:main:v1:{values}")
        assert any(b"tenants/" in name for name in stored)
        assert not any(b"sha256" in value for value in stored.values())
        CliRunner().invoke(keys, ["revoke", "acme", "key-1", "--directory", str(directories[1])])
        for balancer in balancers:
            balancer.wait_for_event("tenants", 2)
        assert [client.get("/", shown).status for client in clients] == [401, 401]
