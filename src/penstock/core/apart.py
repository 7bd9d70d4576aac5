"""Whether a prompt is computed by another endpoint than the one that answers, as a term of J.

    J whole  =  W(d) + P(u) + followers + disturbance                         at the answering d
    J apart  =  W(p) + P(u') + followers' + transfer + what is left of W(d)   at a computing p

The terms are those of ``marginal-cost``, weighed as the answering half weighs them; what is the
same either way (its own decoding, slowing others down, evictions) is left out; where there are
objectives, what good answers are worth is counted as well. The transfer is learned
(``support.transfers``). Where the prompt's prefix is cached is in u and u', so this is also where a
prefix is pulled from: the p that costs least.
"""

from typing import Final

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.policy.base import Policy
from penstock.core.policy.serving.marginal_cost import MarginalCost
from penstock.core.policy.support.cost_terms import Terms
from penstock.core.policy.support.serving import ServingPolicy, decoding, pending
from penstock.core.ticket import Ticket

# Of those not worth it by what was learned, but if transfers took next to nothing: how many are
# tried all the same, to learn of it when they no longer cost what they did.
_EXPLORED: Final = 0.05


class Apart:
    """Of one prompt, what costs less."""

    def __init__(self) -> None:
        self.whole: Terms = Terms()
        self.apart: Terms = Terms()
        self.whole_s: float = 0.0  # J, of what differs
        self.apart_s: float = 0.0

    def saves_s(self) -> float:
        """What is saved by computing it elsewhere; below 0 it costs more."""
        return self.whole_s - self.apart_s


def decides(answering: Policy, computing: Policy) -> bool:
    """Whether these policies know what either way costs."""
    return isinstance(answering, MarginalCost) and isinstance(computing, MarginalCost)


def is_apart(
    ticket: Ticket, answering: Policy, computing: Policy, eligible: list[Endpoint], env: Env
) -> bool:
    """Whether the prompt of ``ticket``, which was just opened, is to be computed by one of
    ``eligible``. Both policies are to be ones that know (``decides``)."""
    if not eligible or not isinstance(answering, MarginalCost):
        return False
    if not isinstance(computing, MarginalCost) or ticket.kv_tokens <= 0:
        return False
    found = compared(ticket, answering, computing, eligible, env)
    if found.saves_s() > 0.0:
        return True
    prompt = ticket.request.prompt_tokens
    hoped = answering.transfers.expected_s(prompt) - answering.transfers.hoped_s(prompt)
    return found.saves_s() + hoped > 0.0 and env.random() < _EXPLORED


def compared(
    ticket: Ticket,
    answering: MarginalCost,
    computing: MarginalCost,
    eligible: list[Endpoint],
    env: Env,
) -> Apart:
    """Both ways of a ticket that was just opened."""
    request = ticket.request
    prompt = request.prompt_tokens
    found = Apart()
    endpoint = ticket.endpoint
    model = answering.model(endpoint)
    whole = found.whole
    whole.queue = model.queue_s(ticket.prefill_ahead)
    whole.prefill = model.prefill_s(ticket.prefill_tokens, prompt)
    work_s = model.token_s * ticket.prefill_tokens
    whole.followers = answering.rate_each * work_s * (whole.queue + work_s / 2.0)
    whole.disturbance = decoding(endpoint) * model.disturbance_s * ticket.prefill_tokens
    answering.weigh_goodness(whole, ticket, ticket.prefill_tokens)
    found.whole_s = answering.cost(whole)

    computing.look(eligible, env.now)
    hits = computing.index.matches(request, eligible)
    rate_each = computing.rate_each
    best = -1
    for index, other in enumerate(eligible):
        other_model = computing.model(other)
        each = Terms()
        uncached = max(prompt - hits[index], 0)
        each.queue = other_model.queue_s(pending(other))
        each.prefill = other_model.prefill_s(uncached, prompt)
        work_s = other_model.token_s * uncached
        each.followers = rate_each * work_s * (each.queue + work_s / 2.0)
        each.transfer = answering.transfers.expected_s(prompt)
        # By then some of what is ahead where it is answered is done.
        left_s = max(whole.queue - each.first_token, 0.0) + model.prefill_s(0, prompt)
        each.queue += left_s
        answering.weigh_goodness(each, ticket, 0)
        cost = answering.cost(each)
        if best < 0 or cost < found.apart_s:
            best = index
            found.apart = each
            found.apart_s = cost
    return found


def compute_elsewhere(ticket: Ticket, now: float) -> None:
    """The prompt of an open ticket is computed by another endpoint: this one owes nothing yet."""
    ticket.hold(now)
    policy = ticket.policy
    if isinstance(policy, ServingPolicy):
        policy.leave_prompt(ticket)


def compute_here(ticket: Ticket, now: float) -> None:
    """It is not after all."""
    policy = ticket.policy
    if isinstance(policy, ServingPolicy) and ticket.left_tokens > 0:
        policy.take_prompt(ticket)
    ticket.go_on(now)


def hand_over(ticket: Ticket, now: float) -> None:
    """It was: this endpoint is asked now, and gets the cache from there."""
    if isinstance(ticket.policy, ServingPolicy) and ticket.left_tokens > 0:
        ticket.transfer_began = now
        ticket.prefill_ahead = pending(ticket.endpoint)
    ticket.go_on(now)
