"""Limits: what is refused, what clients are told, and what is settled at every end."""

import json
from hashlib import sha256
from typing import Any

import pytest

from penstock.core.limits.owner import Asked, Lent, Owner
from penstock.core.limits.rules import limits_in
from penstock.core.snapshot import Key, Limit, Price, Resume, Snapshot, Tenant
from penstock.dataplane.pool.limits import Lender
from tests.harness.fake.http2 import Http2Peer
from tests.harness.fake.stage import Stage, pool_of
from tests.harness.fake.stream import End
from tests.harness.messages import answer, answer_of, get
from tests.harness.world import route, world
from tests.unit.dataplane.stage.asking import status_of
from tests.unit.dataplane.stage.streaming import engines
from tests.unit.dataplane.stage.test_resuming import REST, begun, cut
from tests.unit.dataplane.stage.test_tenants_models import post

SECRET = "k" * 40
KEY = f"Authorization: Bearer {SECRET}"
MESSAGES = [{"role": "user", "content": "hello there, how are you today?"}]


class Supervisor(Lender):
    """The owner of limits, which answers when it is let."""

    def __init__(self, stage: Stage, beside: "Supervisor | None" = None) -> None:
        """``beside``: it lends to another worker too."""
        super().__init__()
        self.stage = stage
        self.number = 0 if beside is None else 1
        self.owner: Owner = Owner() if beside is None else beside.owner
        if beside is None:
            self.owner.configure(limits_in(stage.running().spec))
        self.waiting: list[Asked] = []
        self.prompt = True
        self.away = False
        stage.context.limits.lender = self

    def ask(self, asked: list[Asked]) -> bool:
        if self.away:
            return False
        self.waiting += asked
        if self.prompt:
            self.answer()
        return True

    def answer(self) -> None:
        now = self.stage.system.now
        waiting, self.waiting = self.waiting, []
        told: list[tuple[str, str, Lent]] = []
        for each in waiting:
            lent = self.owner.lend(each, self.number, now, 1e9 + now)
            assert lent is not None
            told.append((each.limit, each.subject, lent))
        self.stage.context.limits.take_answer(told)

    def spent(self, limit: str, subject: str = "") -> float:
        """Of a budget, once the worker gave back what it does not use."""
        self.stage.pass_time(12.0)
        allowances = self.owner.allowances(limit)
        assert allowances is not None
        return allowances.most() - allowances.left(subject, 1e9 + self.stage.system.now)


def limit(name: str, counts: Any, amount: float, per: Any = "", **more: Any) -> Limit:
    return Limit(name, counts, amount, per, **more)


def budget(counts: Any, amount: float, **more: Any) -> Limit:
    return limit("it", counts, amount, "ever", budget=True, **more)


def keyed(*limits: Limit) -> Snapshot:
    key = Key("ci", sha256(SECRET.encode()).hexdigest())
    return world(
        pool_of(0, kind="llm", usage="asked"),
        routes=[route("main", tenants="required")],
        tenants=(Tenant("acme", (key,), limits=limits),),
        prices={"small": Price(1.0, 10.0)},
    )


def chat(stage: Stage, client: End | None = None, **more: object) -> End:
    client = client or stage.client()
    asked: dict[str, object] = {"model": "small", "messages": MESSAGES, "max_tokens": 100, **more}
    stage.send(client, post("/v1/chat/completions", KEY, **asked))
    return client


def whole(prompt: int, output: int) -> bytes:
    usage = {"prompt_tokens": prompt, "completion_tokens": output}
    body = json.dumps({"choices": [{"finish_reason": "stop"}], "usage": usage}).encode()
    return answer("Content-Type: application/json", f"Content-Length: {len(body)}", body=body)


def test_a_pool_has_limits_without_any_tenants() -> None:
    rate = limit("it", "requests", 2.0, "minute", by=("address",))
    with Stage(world(pool_of(0, limits=(rate,)))) as stage:
        Supervisor(stage)
        statuses = []
        for _ in range(3):
            client = stage.client()
            stage.send(client, get("/"))
            if stage.in_flight():
                endpoint, _ = stage.asked()
                stage.send(endpoint, answer_of(b"hello"))
            told = client.read()
            statuses.append(status_of(told))
        assert statuses == [200, 200, 429]
        assert b"Retry-After: 30\r\n" in told
        assert b"x-ratelimit-limit-requests: 2\r\n" in told
        stage.pass_time(31.0)
        client = stage.client()
        stage.send(client, get("/"))
        endpoint, _ = stage.asked()
        stage.send(endpoint, answer_of(b"hello"))
        assert status_of(client.read()) == 200


def test_who_waits_for_the_owner_goes_on_when_it_answers_or_leaves_nothing_behind() -> None:
    with Stage(keyed(budget("requests", 10.0))) as stage:
        owner = Supervisor(stage)
        owner.prompt = False
        client = chat(stage)
        gone = chat(stage)
        assert not stage.servers[0].accepted
        gone.close()
        stage.settle()
        owner.answer()
        stage.settle()
        owner.prompt = True
        assert stage.in_flight() == 1
        endpoint, _ = stage.asked()
        stage.send(endpoint, whole(5, 5))
        assert status_of(client.read()) == 200
        assert owner.spent("it") == 1.0


def test_an_owner_that_does_not_answer_holds_nobody_up_for_long() -> None:
    with Stage(keyed(limit("it", "requests", 10.0, "minute"))) as stage:
        owner = Supervisor(stage)
        owner.prompt = False
        client = chat(stage)
        stage.pass_time(1.0)
        endpoint, _ = stage.asked()
        stage.send(endpoint, whole(5, 5))
        assert status_of(client.read()) == 200


def test_what_cannot_be_given_back_while_the_owner_is_away_is_given_back_once_it_is_there() -> None:
    """By chance (``tests/whole``): it went to the worker's own share, and places were gone."""
    with Stage(keyed(limit("it", "concurrent", 10.0))) as stage:
        owner = Supervisor(stage)
        client = chat(stage)
        endpoint, _ = stage.asked()
        stage.send(endpoint, whole(5, 5))
        assert status_of(client.read()) == 200
        places = owner.owner.allowances("it")
        assert places is not None
        assert places.left("", 0.0) < 10.0
        owner.away = True
        stage.pass_time(3.0)
        owner.away = False
        stage.pass_time(3.0)
        assert places.left("", 0.0) == 10.0


def test_tokens_are_reserved_by_the_limit_and_settled_by_what_the_engine_told() -> None:
    with Stage(keyed(budget("tokens", 250.0))) as stage:
        owner = Supervisor(stage)
        running = [chat(stage) for _ in range(3)]
        assert [status_of(client.read()) for client in running] == [0, 0, 429]
        for end in list(stage.servers[0].accepted):
            stage.received(end)
            stage.send(end, whole(20, 10))
        assert [status_of(client.read()) for client in running[:2]] == [200, 200]
        assert owner.spent("it") == 60.0


def test_more_than_there_ever_is_says_so() -> None:
    with Stage(keyed(limit("it", "tokens", 50.0, "minute"))) as stage:
        Supervisor(stage)
        told = chat(stage).read()
        assert status_of(told) == 429
        assert b"this request alone is more than that" in told
        assert b"x-should-retry: false" in told
        assert b"Retry-After" not in told


@pytest.mark.parametrize("end", ["client leaves", "endpoint dies", "refused", "cut"])
def test_however_an_exchange_ends_its_reservation_is_settled_once(end: str) -> None:
    with Stage(keyed(budget("tokens", 1000.0), limit("places", "concurrent", 1.0))) as stage:
        owner = Supervisor(stage)
        client = chat(stage, stream=True)
        endpoint, _ = stage.asked()
        head = answer("Content-Type: text/event-stream", "Transfer-Encoding: chunked", body=b"")
        event = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
        if end == "refused":
            stage.send(endpoint, b"HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n")
        elif end == "endpoint dies":
            endpoint.reset()
        else:
            stage.send(endpoint, head + b"%x\r\n%b\r\n" % (len(event) * 3, event * 3))
            if end == "client leaves":
                client.close()
            else:
                endpoint.reset()
        stage.settle()
        while end == "endpoint dies" and stage.in_flight():
            stage.asked()[0].reset()
            stage.settle()
        spent = owner.spent("it")
        assert spent == 0.0 if end in ("refused", "endpoint dies") else 3.0 <= spent < 60.0
        chat(stage)  # the place is free
        endpoint, _ = stage.asked()
        stage.send(endpoint, whole(1, 1))


def test_an_answer_that_outgrows_what_was_expected_reserves_more_as_it_goes() -> None:
    with Stage(keyed(budget("output_tokens", 1000.0, reserve="expected"))) as stage:
        owner = Supervisor(stage)
        client = chat(stage, stream=True, max_tokens=10_000)
        endpoint, _ = stage.asked()
        head = answer("Content-Type: text/event-stream", "Transfer-Encoding: chunked", body=b"")
        event = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
        stage.send(endpoint, head)
        for _ in range(40):
            stage.send(endpoint, b"%x\r\n%b\r\n" % (len(event) * 30, event * 30))
            client.read()
            stage.pass_time(0.25)
        assert status_of(chat(stage).read()) == 429  # the budget is used, and the first goes on
        end = b"data: [DONE]\n\n"
        stage.send(endpoint, b"%x\r\n%b\r\n0\r\n\r\n" % (len(end), end))
        assert client.read().endswith(b"0\r\n\r\n")
        assert owner.spent("it") == pytest.approx(1200.0)


def test_answers_tell_what_is_left_in_the_fields_of_their_api() -> None:
    rates = (limit("r", "requests", 60.0, "minute"), limit("t", "tokens", 6000.0, "minute"))
    with Stage(keyed(*rates)) as stage:
        Supervisor(stage)
        client = chat(stage)
        endpoint, _ = stage.asked()
        stage.send(endpoint, whole(20, 10))
        told = client.read()
        assert b"\r\nx-ratelimit-limit-requests: 60\r\n" in told
        assert b"\r\nx-ratelimit-remaining-requests: 59\r\n" in told
        assert b"\r\nx-ratelimit-limit-tokens: 6000\r\n" in told
        client = stage.client()
        asked: Any = {"model": "small", "messages": MESSAGES, "max_tokens": 9}
        stage.send(client, post("/v1/messages", KEY, **asked))
        endpoint, _ = stage.asked()
        stage.send(endpoint, whole(20, 10))
        told = client.read()
        assert b"\r\nanthropic-ratelimit-requests-limit: 60\r\n" in told
        assert b"\r\nanthropic-ratelimit-requests-remaining: 58\r\n" in told
        assert b"\r\nanthropic-ratelimit-tokens-reset: 1970-01-01T" in told


def test_what_a_tenant_used_is_counted_with_its_cost() -> None:
    with Stage(keyed()) as stage:
        client = chat(stage)
        endpoint, _ = stage.asked()
        stage.send(endpoint, whole(1000, 100))
        client.read()
        (row,) = stage.context.limits.usage.take()
        assert row[:7] == ["acme", "ci", "small", 1, 1000, 0, 100]
        assert row[7] == pytest.approx(0.002)


def test_over_http2_answers_tell_limits_and_a_key_ends_on_an_open_connection() -> None:
    rate = limit("r", "requests", 2.0, "minute")
    with Stage(keyed(rate)) as stage:
        Supervisor(stage)
        peer = Http2Peer(stage, stage.client())
        head = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")]
        head.append(("authorization", f"Bearer {SECRET}"))
        numbers = []
        for _ in range(3):
            numbers.append(peer.begin(head, end=True))
            peer.pump()
            if stage.in_flight():
                endpoint, _ = stage.asked()
                stage.send(endpoint, answer_of(b"hello"))
                peer.pump()
        heard = [peer.heard[number] for number in numbers]
        assert [each.status for each in heard] == [200, 200, 429]
        assert heard[0].head["x-ratelimit-remaining-requests"] == "1"
        assert heard[2].head["retry-after"] == "30"
        stage.apply(world(pool_of(0), routes=[route("main", tenants="required")]))
        last = peer.begin(head, end=True)
        peer.pump()
        assert peer.heard[last].status == 401


def test_an_answer_that_went_on_from_another_endpoint_took_both_parts() -> None:
    spec = budget("output_tokens", 1000.0)
    with Stage(world(engines(0, 1, resume=Resume(), usage="off", limits=(spec,)))) as stage:
        owner = Supervisor(stage)
        _, engine = begun(stage)
        other, _ = cut(stage, engine)
        stage.send(other, REST)
        # Where no usage is told each event counts as a token: three, and those of the rest.
        assert 3.0 + 3.0 <= owner.spent("it") <= 3.0 + 5.0
