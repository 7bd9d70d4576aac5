"""The page at the admin address: who sees it, what it is sent, and what that costs."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from importlib.resources import files
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import given
from hypothesis import strategies as st

from penstock.admin.dashboard.difference import difference
from penstock.admin.dashboard.feed import MOST_PAGES, Feed
from penstock.admin.dashboard.history import History
from penstock.admin.dashboard.routes import page_files
from penstock.admin.dashboard.tenancy import TenancyDocuments
from penstock.admin.server import AdminServer
from penstock.admin.view import EventView, LimitStateView, StandingView, Tenancy, TenantView
from penstock.core.measure.histogram import coarse_of
from penstock.dataplane.board.layout import (
    L_IN_FLIGHT,
    L_REQUESTS,
    L_TIMED,
    L_TIMES,
    P_REQUESTS,
    W_PID,
)
from tests.unit.admin.balancer import PlainBalancer, endpoint, overview, pool

TOKEN = "a-secret-token-of-some-length"
READ_TOKEN = "a-token-for-those-who-look"
HOSTILE = "<img src=x onerror=alert(1)>\x1b[2J\u202e&amp;\"'"
STATIC = {
    file.name: file.read_text("utf-8")
    for file in files("penstock.admin.dashboard").joinpath("static").iterdir()
}
OWN = STATIC
Client = TestClient[web.Request, web.Application]


@pytest.fixture
async def guarded(balancer: PlainBalancer) -> AsyncIterator[Client]:
    application = AdminServer(balancer, balancer.commands, TOKEN, READ_TOKEN).application()
    async with TestClient(TestServer(application)) as made:
        yield made


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def feed(balancer: PlainBalancer, clock: Clock) -> Feed:
    """One whose snapshots are due at once."""
    return Feed(balancer, clock, period_s=0.0)


def parsed(message: bytes | None) -> tuple[str, dict[str, Any]]:
    assert message is not None
    kind, data = re.fullmatch(rb"event: (\w+)\ndata: ([^\n]+)\n\n", message).groups()  # type: ignore[union-attr]
    return kind.decode(), json.loads(data)


async def events(client: Client, token: str, count: int) -> list[tuple[str, dict[str, Any]]]:
    async with client.get("/api/v1/stream", headers=bearer(token)) as answer:
        assert answer.status == 200
        assert answer.content_type == "text/event-stream"
        return [parsed(await answer.content.readuntil(b"\n\n")) for _ in range(count)]


class TestPage:
    async def test_it_is_shown_without_a_token_and_holds_no_data(self, guarded: Client) -> None:
        for path, file in page_files().items():
            answer = await guarded.get(path)
            assert answer.status == 200
            assert await answer.read() == file.content

    async def test_its_policy_forbids_whatever_is_not_from_this_address(
        self, guarded: Client
    ) -> None:
        answer = await guarded.get("/")
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"

    async def test_what_a_browser_has_already_is_not_sent_again(self, guarded: Client) -> None:
        tag = (await guarded.get("/")).headers["ETag"]
        assert (await guarded.get("/", headers={"If-None-Match": tag})).status == 304

    async def test_who_rebinds_a_name_to_us_is_not_shown_even_the_page(
        self, balancer: PlainBalancer
    ) -> None:
        application = AdminServer(balancer, balancer.commands, None).application()
        async with TestClient(TestServer(application)) as client:
            assert (await client.get("/", headers={"Host": "evil.example"})).status == 403

    def test_all_of_it_is_small(self) -> None:
        sent = page_files()
        assert sum(len(each.content) for each in sent.values()) < 150_000
        assert not re.search(rb"^\s|^//", sent["/dashboard/main.js"].content, re.MULTILINE)

    def test_no_text_of_ours_goes_over_lines_which_are_trimmed(self) -> None:
        for name, text in OWN.items():
            if name.endswith(".js"):
                for line in text.splitlines():
                    assert line.count("`") % 2 == 0 or line.lstrip().startswith("//"), (name, line)

    def test_no_text_becomes_markup_and_no_token_stands_in_an_address(self) -> None:
        forbidden = re.compile(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|"
            r"EventSource|DOMParser|createContextualFragment|javascript:|[?&]token="
        )
        for name, text in OWN.items():
            assert not forbidden.search(text), name

    def test_no_script_or_style_stands_in_the_page_itself(self) -> None:
        page = OWN["index.html"]
        assert not re.search(r"<style|style=|\son\w+=|<script(?![^>]*src=)", page)
        assert "http" not in page

    def test_both_languages_have_the_same_words(self) -> None:
        text = OWN["words.js"]
        [english] = re.findall(r"const EN = \{(.*?)\n\};", text, re.DOTALL)
        [chinese] = re.findall(r"const ZH = \{(.*?)\n\};", text, re.DOTALL)

        def words(part: str) -> dict[str, list[str]]:
            pairs = re.findall(r'(\w+): "((?:[^"\\]|\\.)*)"', part)
            assert len(pairs) == len(dict(pairs))
            return {name: sorted(set(re.findall(r"\{\d\}", said))) for name, said in pairs}

        assert words(english) == words(chinese)

    def test_every_word_that_is_used_exists(self) -> None:
        known = set(re.findall(r"(\w+): \"", OWN["words.js"]))
        used = set()
        for name, text in OWN.items():
            if name.endswith(".js"):
                used |= set(re.findall(r"\bt\(\"(\w+)\"", text))
        used |= set(re.findall(r'data-word="(\w+)"', OWN["index.html"]))
        assert used - known == set()


class TestWhoMayLook:
    @pytest.mark.parametrize("headers", [{}, bearer("wrong")])
    async def test_without_a_token_nothing_is_told(
        self, guarded: Client, headers: dict[str, str]
    ) -> None:
        for path in ("/api/v1/stream", "/api/v1/decisions", "/metrics"):
            assert (await guarded.get(path, headers=headers)).status == 401

    async def test_a_token_in_the_address_is_worth_nothing(self, guarded: Client) -> None:
        assert (await guarded.get(f"/api/v1/stream?token={TOKEN}")).status == 401

    async def test_the_read_token_looks_and_changes_nothing(
        self, guarded: Client, balancer: PlainBalancer
    ) -> None:
        for path in ("/api/v1/status", "/api/v1/decisions", "/metrics"):
            assert (await guarded.get(path, headers=bearer(READ_TOKEN))).status == 200
        balancer.given.clear()
        for command in balancer.commands:
            if command.method == "POST":
                answer = await guarded.post(command.path(), json={}, headers=bearer(READ_TOKEN))
                assert answer.status == 403
                assert "may look" in (await answer.json())["error"]
        assert balancer.given == []

    @pytest.mark.parametrize(("token", "may"), [(TOKEN, "change"), (READ_TOKEN, "look")])
    async def test_the_page_is_told_what_it_may(
        self, guarded: Client, token: str, may: str
    ) -> None:
        hello, whole = await events(guarded, token, 2)
        assert hello == ("hello", {"may": may})
        assert whole[0] == "whole"
        assert [each["name"] for each in whole[1]["endpoints"].values()] == ["e0", "e1"]

    async def test_pages_beyond_the_most_are_refused(
        self, balancer: PlainBalancer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server = AdminServer(balancer, balancer.commands, None)
        server._feed.pages = MOST_PAGES
        async with TestClient(TestServer(server.application())) as client:
            assert (await client.get("/api/v1/stream")).status == 503


class TestFeed:
    async def test_the_first_message_is_whole_and_the_next_says_what_changed(
        self, feed: Feed, balancer: PlainBalancer, clock: Clock
    ) -> None:
        kind, _ = parsed(await feed.next(0))
        assert kind == "whole"
        e0 = endpoint("e0", 0, state="draining", reason="requested by an operator")
        balancer.shown = overview(pool("main", 0, e0, endpoint("e2", 2)))
        kind, changes = parsed(await feed.next(1))
        assert kind == "changes"
        assert changes["endpoints"]["0"] == {
            "state": "draining",
            "reason": "requested by an operator",
        }
        assert changes["endpoints"]["2"]["name"] == "e2"
        assert changes["gone"] == {"endpoints": ["1"]}

    async def test_one_snapshot_serves_all_pages(
        self, feed: Feed, balancer: PlainBalancer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        taken = 0

        def look() -> Any:
            nonlocal taken
            taken += 1
            return balancer.shown

        monkeypatch.setattr(balancer, "overview", look)
        with feed.page():
            got = await asyncio.gather(*(feed.next(0) for _ in range(50)))
        assert taken == 1
        assert len(set(got)) == 1

    async def test_a_page_that_missed_one_gets_the_next_whole(self, feed: Feed) -> None:
        await feed.next(0)
        await feed.next(1)
        await feed.next(2)
        assert parsed(await feed.next(1))[0] == "whole"

    async def test_dear_snapshots_are_taken_seldom(
        self, balancer: PlainBalancer, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        effort = Clock()
        feed = Feed(balancer, clock, effort=effort)

        def look() -> Any:
            effort.now += 0.04  # seconds of a core
            return balancer.shown

        monkeypatch.setattr(balancer, "overview", look)
        await feed.next(0)
        assert feed.due_in() == pytest.approx(4.0), "a hundredth of a core"

    async def test_rates_are_of_the_last_seconds(
        self, feed: Feed, balancer: PlainBalancer, clock: Clock
    ) -> None:
        board = balancer.board
        board.cells[board.worker(0) + W_PID] = 100
        await feed.next(0)
        board.cells[board.load(0, 0) + L_REQUESTS] = 50
        board.cells[board.load(0, 0) + L_IN_FLIGHT] = 3
        board.cells[board.pool(0, 0) + P_REQUESTS] = 50
        clock.now += 5.0
        _, changes = parsed(await feed.next(1))
        assert changes["endpoints"]["0"]["rate"] == 10.0
        assert changes["endpoints"]["0"]["in_flight"] == 3
        assert changes["pools"]["main"]["rate"] == 10.0

    async def test_an_endpoints_quantiles_are_of_the_last_seconds(
        self, feed: Feed, balancer: PlainBalancer, clock: Clock
    ) -> None:
        board = balancer.board
        board.cells[board.worker(0) + W_PID] = 100
        times = board.load(0, 0) + L_TIMES
        board.cells[times + coarse_of(60_000_000)] = 1000  # long ago
        await feed.next(0)
        board.cells[board.load(0, 0) + L_TIMED] = 100
        board.cells[times + coarse_of(10_000)] = 95
        board.cells[times + coarse_of(900_000)] = 5
        clock.now += 5.0
        _, changes = parsed(await feed.next(1))
        assert changes["endpoints"]["0"]["p50"] == pytest.approx(0.010, rel=0.5)
        assert changes["endpoints"]["0"]["p99"] == pytest.approx(0.9, rel=0.5)

    async def test_of_an_endpoint_without_requests_the_same_is_said(
        self, feed: Feed, balancer: PlainBalancer, clock: Clock
    ) -> None:
        for number in range(3):
            clock.now += 20.0
            await feed.next(number)
        e0 = endpoint("e0", 0, state="down", reason="no answer")
        balancer.shown = overview(pool("main", 0, e0, endpoint("e1", 1)))
        _, changes = parsed(await feed.next(3))
        assert changes["endpoints"] == {"0": {"state": "down", "reason": "no answer"}}

    async def test_events_are_told_once_in_their_order(
        self, feed: Feed, balancer: PlainBalancer
    ) -> None:
        made = [EventView(float(n), "info", "k", f"event {n}", {}) for n in range(4)]
        balancer.shown = overview(events=tuple(made[:2]))
        _, whole = parsed(await feed.next(0))
        assert [each["message"] for each in whole["events"]] == ["event 0", "event 1"]
        balancer.shown = overview(events=tuple(made))
        _, changes = parsed(await feed.next(1))
        assert [each["message"] for each in changes["events"]] == ["event 2", "event 3"]
        _, changes = parsed(await feed.next(2))
        assert "events" not in changes

    async def test_hostile_names_stay_what_they_are_and_break_no_message(
        self, feed: Feed, balancer: PlainBalancer
    ) -> None:
        e0 = endpoint("e0", 0, reason=HOSTILE + "\n\nevent: hello\n", models=(HOSTILE,))
        balancer.shown = overview(pool("main", 0, e0))
        _, whole = parsed(await feed.next(0))
        assert whole["endpoints"]["0"]["models"] == [HOSTILE]
        assert whole["endpoints"]["0"]["reason"].startswith(HOSTILE)

    async def test_its_end_ends_every_page(self, balancer: PlainBalancer, clock: Clock) -> None:
        feed = Feed(balancer, clock, period_s=3600.0)
        await feed.next(0)
        waiting = asyncio.create_task(feed.next(1))
        await asyncio.sleep(0)
        feed.end()
        assert await waiting is None


SECTION = st.dictionaries(
    st.sampled_from("abc"),
    st.fixed_dictionaries({"x": st.integers(0, 2), "y": st.sampled_from(["", "é"])}),
)


@given(SECTION, SECTION)
def test_what_was_and_the_difference_make_what_is(
    before: dict[str, dict[str, Any]], now: dict[str, dict[str, Any]]
) -> None:
    found = difference({"s": before}, {"s": now})
    page = {key: dict(fields) for key, fields in before.items()}
    for key, fields in found.get("s", {}).items():
        page.setdefault(key, {}).update(fields)
    for key in found.get("gone", {}).get("s", []):
        del page[key]
    assert page == now
    assert (before == now) == (found == {})


def test_the_last_hour_is_bounded() -> None:
    history = History()
    point = dict.fromkeys(
        ("rate", "errors", "in_flight", "p50", "p99", "ttft_p50", "ttft_p99", "output_tokens"),
        1.0,
    )
    for at in range(1000):
        late = {"late": {**point, "p99": None}} if at >= 500 else {}
        history.note(float(at), {"main": point, **late})
    document = history.document()
    assert len(document["at"]) == 720
    assert {len(ring) for rings in document["pools"].values() for ring in rings.values()} == {720}
    assert document["pools"]["late"]["rate"][:220] == [None] * 220, "it was not there yet"
    assert document["pools"]["late"]["p99"][-1] is None


class TestTenancy:
    async def test_who_is_near_a_limit_is_refused_and_used_most_is_told_as_it_changes(
        self, feed: Feed, balancer: PlainBalancer, clock: Clock
    ) -> None:
        balancer.tenants = tenancy(requests=10, refused=0, taken=20.0)
        _, told = parsed(await feed.next(0))
        assert told["tenants"][HOSTILE]["requests"] == 10
        assert told["tenants"][HOSTILE]["fullest"] == 0.2
        assert told["limits"]["tenant x"]["fullest"][0]["subject"] == f"{HOSTILE} · m"
        clock.now += 5.0
        balancer.tenants = tenancy(requests=30, refused=5, taken=100.0)
        _, told = parsed(await feed.next(1))
        changed = told["tenants"][HOSTILE]
        assert (changed["rate"], changed["refused_rate"]) == (4.0, 1.0)
        assert changed["fullest"] == 1.0
        assert "name" not in changed, "what stays is not told again"
        balancer.tenants = Tenancy((), ())
        _, told = parsed(await feed.next(2))
        assert told["gone"] == {"tenants": [HOSTILE], "limits": ["tenant x"]}

    def test_of_very_many_the_fullest_and_busiest_are_told(self) -> None:
        many = [tenancy(requests=n, taken=float(n % 7), name=f"t{n}") for n in range(1500)]
        made = Tenancy(
            tuple(each.tenants[0] for each in many), tuple(each.limits[0] for each in many)
        )
        told = TenancyDocuments().document(made, 0.0, 0.0)
        assert len(told["tenants"]) == len(told["limits"]) == 1000
        assert "t1497" in told["tenants"], "6 of 100 are taken"
        assert "t0" not in told["tenants"]

    def test_a_new_day_begins_its_counts_anew(self) -> None:
        documents = TenancyDocuments()
        documents.document(tenancy(requests=900), 0.0, 0.0)
        told = documents.document(tenancy(requests=2), 5.0, 5.0)
        assert told["tenants"][HOSTILE]["rate"] == 0.0


def tenancy(
    requests: int = 1, refused: int = 0, taken: float = 1.0, name: str = HOSTILE
) -> Tenancy:
    """One tenant with one limit of 100."""
    limit = "tenant x" if name == HOSTILE else f"tenant {name}"
    standing = StandingView(f"{name}\nm", taken, whole_s=30.0)
    return Tenancy(
        (TenantView(name, 1, requests, 0, 0, 0, 0.0, refused, taken / 100.0, limit),),
        (
            LimitStateView(
                limit,
                "tokens",
                "minute",
                False,
                ("tenant", "model"),
                100.0,
                refused,
                0,
                (standing,),
            ),
        ),
    )
