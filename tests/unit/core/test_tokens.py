"""Estimates are learned from what engines count."""

from random import Random

import pytest

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.measure.tokens import (
    UNKNOWN_OUTPUT,
    Outlook,
    OutputPredictor,
    Progress,
    TokenEstimator,
    answer_class,
)
from penstock.core.policy import create
from penstock.core.policy.support.decoding import Decoding
from penstock.core.request import Request
from penstock.core.ticket import DONE, Ticket

CHAT, COMPLETION = 1, 2


def test_bytes_per_token_are_learned_by_model() -> None:
    estimator = TokenEstimator()
    assert estimator.tokens("a", 400) == 100
    for _ in range(300):
        estimator.learn("a", 600, 200)
    assert estimator.bytes_per_token("a") == pytest.approx(3.0)
    assert estimator.tokens("b", 400) == 100
    assert (estimator.tokens("a", 0), estimator.tokens("a", 1)) == (0, 1)


def test_an_engine_that_counts_nonsense_is_believed_within_reason() -> None:
    estimator = TokenEstimator()
    estimator.learn("a", 1_000_000, 1)
    assert estimator.bytes_per_token("a") == 16.0
    estimator.learn("b", 1, 1_000_000)
    assert estimator.bytes_per_token("b") == 1.0


def test_names_made_up_by_clients_fill_no_memory_and_push_out_no_model_in_use() -> None:
    estimator = TokenEstimator()
    predictor = OutputPredictor()
    for number in range(2000):
        estimator.learn("used", 20, 10)
        estimator.learn(f"m{number}", 10, 10)
        predictor.learn(f"m{number}", 10)
        predictor.learn("used", 50, kind=number + 1)
    assert estimator.bytes_per_token("used") == pytest.approx(2.0)
    assert estimator.bytes_per_token("m1999") == 1.0  # a model that is new is learned
    assert estimator.bytes_per_token("m0") == 4.0  # nobody asked for it since
    assert predictor.predict("used") == 50
    assert len(predictor._models) == len(predictor._classes) == 1024


def test_an_output_is_predicted_from_those_that_were_longer() -> None:
    predictor = OutputPredictor()
    assert predictor.predict("m") == UNKNOWN_OUTPUT
    for _ in range(20):
        predictor.learn("m", 10)
        predictor.learn("m", 1000)
    assert predictor.predict("m") == pytest.approx(505, rel=0.02)
    assert predictor.predict("m", so_far=100) == pytest.approx(1000, rel=0.01)
    assert predictor.predict("m", limit=50) == 50
    assert predictor.predict("m", so_far=4000) == 8000


@pytest.mark.parametrize("so_far", [0, 1, 255, 256, 100_000])
def test_what_goes_on_has_at_least_one_token_to_come(so_far: int) -> None:
    predictor = OutputPredictor()
    assert predictor.predict("m", limit=1, so_far=so_far) > so_far


def test_classes_differ_in_api_streaming_tools_and_the_size_of_the_limit() -> None:
    kinds = {
        answer_class(api, streams, tools, limit)
        for api in range(6)
        for streams in (False, True)
        for tools in (False, True)
        for limit in (0, 16, 64, 256, 1024, 4096, 16384, 10**9)
    }
    assert len(kinds) == 6 * 2 * 2 * 8
    assert 0 not in kinds
    assert answer_class(CHAT, True, False, 17) == answer_class(CHAT, True, False, 64)


def test_an_output_is_predicted_from_answers_of_its_class_where_some_were_seen() -> None:
    predictor = OutputPredictor()
    words = answer_class(CHAT, False, False, 16)
    texts = answer_class(COMPLETION, True, False, 0)
    for _ in range(20):
        predictor.learn("m", 4, words)
        predictor.learn("m", 800, texts)
    assert predictor.predict("m", kind=words) == 4
    assert predictor.predict("m", kind=texts) == 800
    assert predictor.predict("m", kind=answer_class(CHAT, True, True, 0)) == pytest.approx(
        402, rel=0.02
    )
    assert predictor.predict("m", kind=words, so_far=10) == 800  # longer than any of its class
    assert predictor.predict("other", kind=words) == UNKNOWN_OUTPUT


def test_old_lengths_fade_however_many_there_were() -> None:
    predictor = OutputPredictor()
    for _ in range(5000):  # the weights are scaled down on the way
        predictor.learn("m", 10)
    for _ in range(100):
        predictor.learn("m", 1000)
    share = 1.0 - 0.99**100
    assert predictor.predict("m") == pytest.approx(1000 * share + 10 * (1 - share), rel=0.01)


class Counted(Progress):
    def __init__(self) -> None:
        self.count = 0

    def tokens(self) -> int:
        return self.count


def running(predictor: OutputPredictor, endpoint: Endpoint, limit: int = 0) -> Ticket:
    outlook = Outlook(predictor, "m", limit, 0)
    request = Request(prompt_tokens=10, output_tokens=outlook.length(0), outlook=outlook)
    ticket = Ticket(endpoint, create("round-robin"), request, 0.0)
    ticket.progress = Counted()
    return ticket


def went_on(ticket: Ticket, tokens: int) -> None:
    assert isinstance(ticket.progress, Counted)
    ticket.progress.count = tokens


def test_what_is_left_of_an_answer_depends_on_what_came_of_it() -> None:
    predictor = OutputPredictor()
    for _ in range(20):
        predictor.learn("m", 10)
        predictor.learn("m", 1000)
    ticket = running(predictor, Endpoint("e"))
    assert ticket.tokens_left() == pytest.approx(505, rel=0.02)
    went_on(ticket, 100)  # so it is one of the long ones
    assert ticket.tokens_left() == pytest.approx(900, rel=0.01)
    went_on(ticket, 999)
    assert ticket.tokens_left() >= 1
    bounded = running(predictor, Endpoint("e"), limit=150)
    went_on(bounded, 100)
    assert bounded.tokens_left() == 50


def test_what_is_left_on_an_endpoint_is_looked_at_when_asked_and_not_too_often() -> None:
    endpoint = Endpoint("e")
    decoding = Decoding()
    tickets = [running(OutputPredictor(), endpoint) for _ in range(3)]
    for ticket in tickets:
        decoding.start(ticket)
    assert decoding.tokens_left(endpoint, 1.0) == 3 * UNKNOWN_OUTPUT
    for ticket in tickets:
        went_on(ticket, 56)
    assert decoding.tokens_left(endpoint, 1.05) == 3 * UNKNOWN_OUTPUT
    assert decoding.tokens_left(endpoint, 1.2) == 3 * (UNKNOWN_OUTPUT - 56)
    decoding.end(tickets[0])
    decoding.end(tickets[0])
    assert decoding.tokens_left(endpoint, 1.2) == 2 * (UNKNOWN_OUTPUT - 56)
    assert decoding.requests(endpoint) == 2
    decoding.end(tickets[1])
    decoding.end(tickets[2])
    assert decoding.tokens_left(endpoint, 9.0) == decoding.requests(endpoint) == 0
    assert not decoding._under


def test_e2_holds_answers_that_are_nearly_done_for_less_load() -> None:
    policy = create("e2")
    endpoints = [Endpoint("beginning"), Endpoint("ending")]
    policy.replace_members(endpoints)
    policy.rebuild(endpoints)
    predictor = OutputPredictor()
    for _ in range(20):
        predictor.learn("m", 1000)
    outlook = Outlook(predictor, "m", 0, 0)
    request = Request(
        prompt_tokens=10, output_tokens=1000, outlook=outlook, blocks=[1], block_tokens=10
    )
    beginning, ending = [Ticket(endpoint, policy, request, 0.0) for endpoint in endpoints]
    ending.progress = Counted()
    went_on(ending, 990)
    env = Env(Random(1), now=1.0)
    fresh = Request(prompt_tokens=10, output_tokens=1000, blocks=[2], block_tokens=10)
    assert all(policy.pick(fresh, endpoints, env) is endpoints[1] for _ in range(5))
    beginning.settle(DONE, 2.0)
    env.now = 2.0
    assert policy.pick(fresh, endpoints, env) is endpoints[0]


def test_one_huge_prompt_does_not_decide_for_all_others() -> None:
    """A megabyte of something else than text, among prompts of two kilobytes."""
    estimator = TokenEstimator()
    for _ in range(200):
        estimator.learn("m", 2000, 500)
    estimator.learn("m", 1_000_000, 900_000)
    assert estimator.bytes_per_token("m") == pytest.approx(4.0, rel=0.3)
