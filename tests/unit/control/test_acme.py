"""Certificates that are fetched: when they are due, who orders, and what failures leave alone."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from time import time

import pytest
import trustme
from msgspec.structs import replace

from penstock.control.acme.certificates import PATH, FetchedCertificates, key_of
from penstock.control.acme.ordering import Answers, Ordered, OrderError, validity
from penstock.control.acme.renewal import due_at, wait_after
from penstock.control.acme.tls_alpn import challenge_certificate
from penstock.control.events import Events
from penstock.control.store.embedded import EmbeddedStore
from penstock.control.store.files import StateFiles
from penstock.core.snapshot import Acme, Certificate, ListenerTls, Snapshot
from tests.unit.control.waiting import until
from tests.unit.control.worlds import listener, world

DAY_S = 86400.0
SETTINGS = Acme(("a.example",), "https://authority.example/directory")


def test_it_is_renewed_before_a_third_of_its_life_is_left() -> None:
    for seed in range(50):
        due = due_at(0.0, 90 * DAY_S, Random(seed))
        assert 50 * DAY_S < due <= 60 * DAY_S
    assert len({due_at(0.0, 90 * DAY_S, Random(seed)) for seed in range(9)}) == 9


def test_failures_are_followed_by_longer_and_longer_pauses() -> None:
    rng = Random(1)
    assert 30.0 <= wait_after(1, rng) <= 60.0
    assert 240.0 <= wait_after(4, rng) <= 480.0
    assert wait_after(1000, rng) <= 6 * 3600.0


class Authority:
    """Issues what it is asked for, after asking for its token, or fails."""

    def __init__(self) -> None:
        self.orders = 0
        self.accounts: list[str] = []
        self.failing = ""
        self.on_published: Callable[[], None] = lambda: None
        self._ca = trustme.CA()

    def order(self, settings: Acme, account: str, publish: Callable[[Answers], None]) -> Ordered:
        self.orders += 1
        self.accounts.append(account)
        if self.failing:
            raise OrderError(self.failing)
        if settings.challenge == "http-01":
            publish(Answers({f"token-{self.orders}": f"answer-{self.orders}"}))
        else:
            publish(
                Answers(certificates={n: challenge_certificate(n, "text") for n in settings.names})
            )
        self.on_published()
        now = datetime.now(UTC)
        made = self._ca.issue_cert(
            *settings.names, not_after=now + timedelta(days=90), not_before=now
        )
        pem = made.private_key_pem.bytes() + made.cert_chain_pems[0].bytes()
        return Ordered(pem.decode(), "account")


class Balancer:
    """One that fetches a certificate, with what its workers would be told."""

    def __init__(
        self, directory: Path, authority: Authority, events: Events, acme: Acme = SETTINGS
    ) -> None:
        self.events = events
        self.sleeps: list[float] = []
        self.later_s = 0.0
        self.waits = asyncio.Event()  # for a test to let it go on
        self.told: list[Snapshot] = []
        self.store = EmbeddedStore(StateFiles(directory, events))
        self.fetched = FetchedCertificates(
            self.store,
            directory,
            events,
            self._refresh,
            ordering=authority.order,
            wall_clock=lambda: time() + self.later_s,
            sleep=self._sleep,
        )
        self.spec = world(
            listeners=[
                listener("web"),
                replace(listener("secure"), tls=ListenerTls(acme=acme)),
            ]
        )

    def start(self) -> None:
        self.told.append(self.fetched.mark(self.spec))
        self.fetched.configure(self.told[-1])

    async def _refresh(self) -> None:
        self.told.append(self.fetched.mark(self.told[-1]))

    async def _sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        await self.waits.wait()
        self.waits.clear()

    def certificates(self) -> int:
        """That the workers have for the listener now."""
        return len(self.told[-1].listeners[1].certificates)


@pytest.fixture
def authority() -> Authority:
    return Authority()


async def test_workers_answer_at_the_token_and_then_have_the_certificate(
    tmp_path: Path, events: Events, authority: Authority
) -> None:
    balancer = Balancer(tmp_path, authority, events)
    seen: list[tuple[str, str]] = []

    def look() -> None:
        route = balancer.told[-1].routes[0]
        assert route.respond is not None
        seen.append((route.match.path, route.respond.body))

    authority.on_published = look
    balancer.start()
    assert balancer.certificates() == 0
    assert balancer.fetched.problem("secure") == "its certificate is being ordered"
    await until(lambda: len(balancer.sleeps) == 1, "it was ordered")
    assert seen == [(f"{PATH}token-1", "answer-1")]
    assert balancer.certificates() == 1
    assert not [route for route in balancer.told[-1].routes if route.name.startswith("acme")]
    assert balancer.fetched.problem("secure") == ""
    assert balancer.fetched.problem("web") == ""
    await balancer.fetched.stop()


async def test_a_challenges_certificate_is_there_while_it_is_ordered_and_then_gone(
    tmp_path: Path, events: Events, authority: Authority
) -> None:
    balancer = Balancer(tmp_path, authority, events, replace(SETTINGS, challenge="tls-alpn-01"))
    seen: list[Certificate] = []

    def look() -> None:
        (shown,) = balancer.told[-1].listeners[1].challenges
        assert Path(shown.certificate).stat().st_mode & 0o077 == 0
        seen.append(shown)

    authority.on_published = look
    balancer.start()
    await until(lambda: len(balancer.sleeps) == 1, "it was ordered")
    assert [each.server_names for each in seen] == [("a.example",)]
    assert balancer.told[-1].listeners[1].challenges == ()
    assert not list(tmp_path.glob("acme-challenge-*"))  # noqa: ASYNC240
    assert balancer.certificates() == 1
    await balancer.fetched.stop()


async def test_the_next_process_has_it_at_once_and_orders_nothing(
    tmp_path: Path, events: Events, authority: Authority
) -> None:
    first = Balancer(tmp_path, authority, events)
    first.start()
    await until(lambda: len(first.sleeps) == 1, "it was ordered")
    await first.fetched.stop()
    second = Balancer(tmp_path, authority, events)
    second.start()
    assert second.certificates() == 1
    await until(lambda: len(second.sleeps) == 1, "it looked")
    assert authority.orders == 1
    await second.fetched.stop()


async def test_a_failure_backs_off_and_never_takes_away_one_that_works(
    tmp_path: Path, events: Events
) -> None:
    authority = Authority()
    balancer = Balancer(tmp_path, authority, events)
    balancer.start()
    await until(lambda: len(balancer.sleeps) == 1, "it was ordered")
    balancer.later_s = 65 * DAY_S
    authority.failing = "the authority is away"
    for tries in (2, 3):
        balancer.waits.set()
        await until(lambda tries=tries: len(balancer.sleeps) == tries, "it tried again")  # type: ignore[misc]
        assert balancer.certificates() == 1
        assert "is not renewed: the authority is away" in balancer.fetched.problem("secure")
    assert 30.0 <= balancer.sleeps[1] <= 60.0 <= balancer.sleeps[2] <= 120.0
    authority.failing = ""
    balancer.later_s = 62 * DAY_S
    balancer.waits.set()
    await until(lambda: len(balancer.sleeps) == 4, "it tried again")
    assert authority.accounts == ["", *["account"] * (authority.orders - 1)]
    assert balancer.fetched.problem("secure") == ""
    await balancer.fetched.stop()


async def test_of_several_balancers_one_orders(
    tmp_path: Path, events: Events, authority: Authority
) -> None:
    balancer = Balancer(tmp_path, authority, events)
    assert await balancer.store.lease(key_of(SETTINGS), "another", 60.0)
    balancer.start()
    await until(lambda: len(balancer.sleeps) == 1, "it waits for the other")
    assert authority.orders == 0
    await balancer.fetched.stop()


def test_the_validity_is_the_first_certificates() -> None:
    made = trustme.CA().issue_cert("a.example")
    pem = made.private_key_pem.bytes() + made.cert_chain_pems[0].bytes()
    begins, ends = validity(pem.decode())
    assert begins < datetime.now(UTC).timestamp() < ends


async def test_whichever_balancer_an_authority_comes_to_answers_for_its_token(
    tmp_path: Path, events: Events
) -> None:
    (tmp_path / "other").mkdir()
    authority = Authority()
    orders = Balancer(tmp_path, authority, events)
    other = Balancer(tmp_path / "other", authority, events)
    for each in (orders, other):
        each.told.append(each.fetched.mark(each.spec))
    told: list[tuple[str, str | None]] = []
    orders.fetched.tell = lambda token, text: told.append((token, text))
    token, answer = "t" * 43, "t" * 43 + "." + "k" * 43
    publishing = asyncio.create_task(orders.fetched._publish(SETTINGS, {token: answer}, ()))
    await until(lambda: told == [(token, answer)], "the others are told")
    assert not publishing.done(), "they are given time to answer"
    await other.fetched.hear(*told[0])
    assert [route.match.path for route in other.told[-1].routes] == [PATH + token]
    await other.fetched.hear(token, None)
    assert other.told[-1].routes == ()
    for wrong in (("t", answer), (token, "x"), ("../" + token, answer), (token, answer + "\r\n")):
        await other.fetched.hear(*wrong)
        assert other.told[-1].routes == ()
    orders.waits.set()
    await publishing
