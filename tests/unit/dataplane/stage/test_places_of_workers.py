"""Places of a limit on concurrent requests: however long their owner does not answer, workers give
none out twice, and it counts what they gave out meanwhile."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from penstock.control.workers.ended import forget_running
from tests.harness.fake.stage import Stage
from tests.harness.fake.stream import End
from tests.unit.dataplane.stage.asking import status_of
from tests.unit.dataplane.stage.test_limits import Supervisor, chat, keyed, limit, whole


@dataclass
class Two:
    """Workers of one board, and who lends to both."""

    one: Stage
    other: Stage
    lenders: tuple[Supervisor, Supervisor]

    def silence(self) -> None:
        """As at a hand-over, or where the supervisor gets no processor."""
        for lender in self.lenders:
            lender.prompt = False

    def speak(self) -> None:
        for lender in self.lenders:
            lender.prompt = True
            lender.answer()
        self.pass_time(0.5)

    def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.25)):
            self.one.pass_time(0.25)
            self.other.pass_time(0.25)

    def running(self) -> int:
        return self.one.in_flight() + self.other.in_flight()

    def held(self) -> float:
        """As the owner counts."""
        return sum(count for *_, count in self.lenders[0].owner.places_held())

    def end(self, stage: Stage) -> None:
        """All that it has under way."""
        while stage.in_flight():
            end = next(each for each in stage.servers[0].accepted if each.inbox)
            stage.received(end)
            stage.send(end, whole(1, 1))


@pytest.fixture
def two(request: pytest.FixtureRequest) -> Iterator[Two]:
    with ExitStack() as stack:
        settings = keyed(limit("it", "concurrent", request.param))
        one = stack.enter_context(Stage(settings, workers=2))
        other = stack.enter_context(Stage(settings, beside=one))
        first = Supervisor(one)
        yield Two(one, other, (first, Supervisor(other, beside=first)))


def refused(client: End) -> bytes:
    told = client.read()
    assert status_of(told) == 429
    return told


@pytest.mark.parametrize("two", [2.0], indirect=True)
def test_places_that_another_worker_has_are_not_given_out_by_share(two: Two) -> None:
    for _ in range(2):
        chat(two.one)
    two.silence()
    client = chat(two.other)
    two.pass_time(1.0)
    assert two.running() == 2
    assert b"Retry-After: 1\r\n" in refused(client)
    two.end(two.one)
    two.speak()
    chat(two.other)
    assert two.running() == 1
    two.end(two.other)


@pytest.mark.parametrize("two", [2.0], indirect=True)
def test_what_was_given_out_by_share_is_counted_when_the_owner_answers_again(two: Two) -> None:
    chat(two.one)
    two.silence()
    chat(two.other)
    two.pass_time(1.0)
    assert two.running() == 2
    two.speak()
    assert two.held() == 2.0
    refused(chat(two.one))
    for stage in (two.one, two.other):
        two.end(stage)
    two.pass_time(2.0)
    assert two.held() == 0.0
    for stage in (two.one, two.other):
        chat(stage)
    assert two.running() == 2
    for stage in (two.one, two.other):
        two.end(stage)


@pytest.mark.parametrize("two", [1.0], indirect=True)
def test_of_two_that_nobody_answers_one_gives_out_the_last_place(two: Two) -> None:
    two.silence()
    clients = [chat(two.one), chat(two.other)]
    two.pass_time(1.0)
    assert two.running() == 1
    refused(clients[1])
    two.speak()  # and what was asked for before comes late
    assert two.running() == 1
    refused(chat(two.other))
    refused(chat(two.one))
    two.end(two.one)
    two.pass_time(2.0)
    chat(two.other)
    assert two.running() == 1
    two.end(two.other)


@pytest.mark.parametrize("two", [1.0], indirect=True)
def test_the_places_of_a_worker_that_ended_are_free(two: Two) -> None:
    chat(two.one)
    two.silence()
    forget_running(two.one.board, 0)
    chat(two.other)
    two.pass_time(1.0)
    assert two.other.in_flight() == 1
    two.end(two.other)
    two.end(two.one)


@pytest.mark.parametrize("two", [1.0], indirect=True)
def test_what_was_given_back_before_it_was_told_leaves_nothing_taken(two: Two) -> None:
    two.silence()
    chat(two.other)
    two.pass_time(1.0)
    assert two.running() == 1
    two.end(two.other)
    two.pass_time(1.0)
    two.speak()
    two.pass_time(2.0)
    assert two.held() == 0.0
    chat(two.one)
    assert two.running() == 1
    two.end(two.one)


def test_what_was_given_out_of_a_rate_by_share_is_taken_of_it_once_the_owner_answers() -> None:
    with Stage(keyed(limit("it", "requests", 4.0, "day"))) as stage:
        owner = Supervisor(stage)
        owner.prompt = False
        for _ in range(2):
            chat(stage)
            stage.pass_time(1.0)
        assert stage.in_flight() == 2
        owner.prompt = True
        owner.answer()
        stage.pass_time(12.0)
        assert owner.owner.rates_taken(stage.system.now)["it"][""] > 1.99
        Two(stage, stage, (owner, owner)).end(stage)


def test_what_the_owner_lent_of_a_rate_is_not_given_out_again_by_share() -> None:
    """A thousand at once found it: the owner lent the rate whole, and then had no processor."""
    with Stage(keyed(limit("it", "requests", 10.0, "day")), workers=1) as stage:
        supervisor = Supervisor(stage)
        for _ in range(10):
            chat(stage)
        assert stage.in_flight() == 10
        supervisor.prompt = False
        for _ in range(10):
            chat(stage)
        stage.pass_time(1.0)
        assert stage.in_flight() == 10
        Two(stage, stage, (supervisor, supervisor)).end(stage)
