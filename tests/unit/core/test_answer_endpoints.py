"""Who made which answer is remembered, within a bound."""

from penstock.core.endpoint import Endpoint
from penstock.core.prefixes.answer_endpoints import AnswerEndpoints


def test_an_answer_has_the_endpoint_that_was_noted_last() -> None:
    one, other = Endpoint("one"), Endpoint("other")
    known = AnswerEndpoints()
    assert known.of(1) is None
    known.note(1, one)
    known.note(1, other)
    assert known.of(1) is other


def test_only_what_was_not_known_is_news() -> None:
    endpoint = Endpoint("e")
    known = AnswerEndpoints(4)
    assert [known.note(answer, endpoint) for answer in (1, 1, 2, 3, 1)] == [
        True,
        False,
        True,
        True,
        False,
    ]


def test_the_oldest_are_forgotten_and_the_younger_half_never() -> None:
    endpoint = Endpoint("e")
    known = AnswerEndpoints(100)
    for answer in range(1000):
        known.note(answer, endpoint)
        assert len(known) <= 100
        assert all(known.of(each) is endpoint for each in range(max(answer - 49, 0), answer + 1))
    assert known.of(800) is None
