"""Who made which answer is remembered, within a bound."""

from penstock.core.endpoint import Endpoint
from penstock.core.prefixes.answer_homes import AnswerHomes


def test_an_answer_has_the_home_that_was_noted_last() -> None:
    one, other = Endpoint("one"), Endpoint("other")
    homes = AnswerHomes()
    assert homes.of(1) is None
    homes.note(1, one)
    homes.note(1, other)
    assert homes.of(1) is other


def test_only_what_was_not_known_is_news() -> None:
    endpoint = Endpoint("e")
    homes = AnswerHomes(4)
    assert [homes.note(answer, endpoint) for answer in (1, 1, 2, 3, 1)] == [
        True,
        False,
        True,
        True,
        False,
    ]


def test_the_oldest_are_forgotten_and_the_younger_half_never() -> None:
    endpoint = Endpoint("e")
    homes = AnswerHomes(100)
    for answer in range(1000):
        homes.note(answer, endpoint)
        assert len(homes) <= 100
        assert all(homes.of(each) is endpoint for each in range(max(answer - 49, 0), answer + 1))
    assert homes.of(800) is None
