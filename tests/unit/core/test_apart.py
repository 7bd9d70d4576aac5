"""Whether a prompt is computed elsewhere than where it is answered, and what is learned of it."""

from random import Random

import pytest

from penstock.core.apart import (
    compared,
    compute_elsewhere,
    compute_here,
    decides,
    hand_over,
    is_apart,
)
from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.policy import create
from penstock.core.policy.serving.marginal_cost import MarginalCost
from penstock.core.policy.support.transfers import Transfers
from penstock.core.request import Request
from penstock.core.ticket import ABANDONED, DONE, Ticket

TOKEN_S = 1e-4


def prompt(tokens: int = 8000, output: int = 100) -> Request:
    return Request(prompt_tokens=tokens, output_tokens=output)


class Halves:
    """One endpoint that answers and one that computes, both known to take 0.1 ms for a token, where
    each prompt token delays answers under way by as much."""

    def __init__(self, **options: float) -> None:
        self.d, self.p = Endpoint("d"), Endpoint("p")
        self.answering, self.computing = MarginalCost(**options), MarginalCost()  # type: ignore[arg-type]
        self.env = Env(Random(1))
        for policy, endpoint in ((self.answering, self.d), (self.computing, self.p)):
            policy.rebuild([endpoint])
            for number in range(200):
                tokens = 500 + 10 * (number % 40)
                policy.model(endpoint).learn_first_token(0, tokens, tokens, tokens * TOKEN_S, 1.0)
                beside = 50.0 * (number % 7)
                step_s = 0.02 + beside * TOKEN_S
                policy.model(endpoint).learn_step(8.0, 8000.0, beside, step_s, 1.0)

    def ticket(self, request: Request, now: float = 1.0) -> Ticket:
        return Ticket(self.d, self.answering, request, now)

    def answers(self, count: int) -> None:
        """That many run at the answering one."""
        for _ in range(count):
            ticket = self.ticket(prompt(10))
            ticket.first_byte(1.0)

    def is_apart(self, request: Request) -> bool:
        ticket = self.ticket(request)
        found = is_apart(ticket, self.answering, self.computing, [self.p], self.env)
        ticket.settle(ABANDONED, 1.0)
        return found


def test_where_nobody_is_held_up_a_prompt_runs_whole() -> None:
    assert not Halves().is_apart(prompt())


def test_a_prompt_that_would_hold_up_many_answers_is_computed_apart() -> None:
    halves = Halves()
    halves.answers(20)
    assert halves.is_apart(prompt())


def test_what_a_transfer_takes_is_learned_and_may_not_be_worth_it() -> None:
    halves = Halves()
    halves.answers(20)
    for _ in range(10):
        halves.answering.transfers.learn(8000, 10.0)
    found = [halves.is_apart(prompt()) for _ in range(300)]
    assert 0 < sum(found) < 40  # to learn of it when transfers cost less again


def test_a_prompt_that_would_wait_goes_where_none_waits() -> None:
    halves = Halves()
    waiting = [halves.ticket(prompt()) for _ in range(3)]
    assert halves.is_apart(prompt())
    for _ in range(6):
        Ticket(halves.p, halves.computing, prompt(), 1.0)
    assert not halves.is_apart(prompt())
    assert len(waiting) == 3


def test_of_those_that_compute_it_is_the_one_that_holds_the_prefix() -> None:
    halves = Halves()
    other = Endpoint("other")
    halves.computing.rebuild([halves.p, other])
    request = Request(
        prompt_tokens=8000, output_tokens=9, blocks=list(range(1, 501)), block_tokens=16
    )
    Ticket(other, halves.computing, request, 1.0).settle(DONE, 1.0)
    both = [halves.p, other]
    found = compared(halves.ticket(request), halves.answering, halves.computing, both, halves.env)
    assert found.apart.prefill < 0.1 * found.whole.prefill


def test_objectives_count_for_either_way() -> None:
    """An answer that is held up by its own prompt's neighbours misses what is asked of tokens."""
    plain, bound = Halves(), Halves(token_objective_s=0.021)
    saved = []
    for halves in (plain, bound):
        halves.answers(4)
        ticket = halves.ticket(prompt())
        found = compared(ticket, halves.answering, halves.computing, [halves.p], halves.env)
        saved.append(found.saves_s())
    assert saved[1] > saved[0]


def test_the_answering_endpoint_owes_nothing_while_another_computes() -> None:
    halves = Halves()
    ticket = halves.ticket(prompt())
    assert halves.d.tokens.pending_prefill == 8000
    compute_elsewhere(ticket, 1.0)
    assert halves.d.tokens.pending_prefill == 0
    compute_here(ticket, 2.0)
    assert halves.d.tokens.pending_prefill == 8000
    compute_elsewhere(ticket, 2.0)
    hand_over(ticket, 3.0)
    ticket.first_byte(3.5)
    ticket.settle(DONE, 4.0)
    assert (halves.d.tokens.pending_prefill, halves.d.tokens.held, halves.d.in_flight) == (0, 0, 0)


def test_a_first_token_after_a_transfer_tells_of_the_transfer_and_not_of_the_engine() -> None:
    halves = Halves()
    before = halves.answering.fleet.coefficients()
    ticket = halves.ticket(prompt())
    compute_elsewhere(ticket, 1.0)
    hand_over(ticket, 3.0)
    ticket.first_byte(3.4)
    assert halves.answering.fleet.coefficients() == before
    assert halves.answering.transfers.samples == 1
    assert halves.answering.transfers.expected_s(8000) == pytest.approx(0.4, rel=0.1)


def test_one_that_is_given_up_meanwhile_tells_nothing() -> None:
    halves = Halves()
    before = halves.answering.fleet.coefficients()
    ticket = halves.ticket(prompt())
    compute_elsewhere(ticket, 1.0)
    ticket.settle(ABANDONED, 99.0)
    assert halves.answering.fleet.coefficients() == before
    assert halves.d.tokens.pending_prefill == 0


def test_transfers_are_a_line_that_one_outlier_does_not_bend() -> None:
    transfers = Transfers()
    for tokens in (1000, 2000, 4000, 8000) * 5:
        transfers.learn(tokens, 0.01 + tokens * 1e-5)
    assert transfers.expected_s(6000) == pytest.approx(0.07, rel=0.05)
    transfers.learn(6000, 1000.0)
    assert transfers.expected_s(6000) < 1.0


def test_only_the_policy_that_knows_both_ways_decides() -> None:
    assert decides(MarginalCost(), MarginalCost())
    assert not decides(MarginalCost(), create("least-request"))
    assert not decides(create("ttft"), MarginalCost())
