"""Marginal cost: seconds that a request costs itself, those it joins, and those that come after.

    J  =  queue_weight · W                                 prompts ahead of it, and overdue tokens
        + prefill_weight · P(u, n)                         its own uncached tokens u of n
        + transfer_weight · T(n)                           its KV cache, if another one computes it
        + decode_weight · Ô · s(B+1, K + n + Ô/2)          its own answer of Ô tokens
        + followers_weight · λ · p₁·u · (W + p₁·u/2)       those to come wait for u
        + disturbance_weight · B · φ·p₁·u                  the B answers under way wait for u
        + slowdown_weight · B · Ô · s₁                     and get slower by one more in the batch
        + eviction_weight · p_reuse · p₁ · evicted tokens  prefixes that others come back for
        − worth · (own good − others lost)                 answers that keep to objectives, if set

P and s are fitted online to the fleet, and the pace of every endpoint in it, so that different
accelerators and noisy neighbours are learned; φ and the slopes of s are 0 until measured, and s has
in it what prompts beside answers cost there of late. Where an engine has slots and all are taken,
W has in it the wait for one (``support.slots``), and those to come wait for the whole answer over
the number of slots besides u. λ is an endpoint's even share of the prompts
that arrive: each that comes in the next W is later by p₁·u, and those that come while u itself is
computed by half of it on average. Endpoints whose KV cache could not hold the request are left out
while another could. A good answer is worth what the objectives let it cost, so where not all can
be good, the overflow goes where the fewest are lost by it.

Inside ``noise`` of the least J (without what decoding costs everywhere) the endpoint with the
fewest requests for its weight is taken; a share ``explore`` of picks goes to an endpoint that was
not used for 10 s, if there is one where no prefix is lost, or for 20 s even where it is. Paces that
are not renewed fade as well (``support.belief``).
Delays of answers under way weigh a tenth of waits for a first token.

A prefix is computed once more, on a further endpoint, when a choice of holders would have saved
what that costs, by at most a share ``copies`` of prompts.

Leaving terms out recovers other policies (tests hold it): W + P token-load, and ttft; (B+1)·P
lmetric; W + P with a KV slope kv-cost; the slowdown alone least-request; the eviction e2's M.
Source: the terms are those of the policies named, put into one unit, seconds; put together for
Penstock. O(blocks + endpoints) per pick.
"""

from typing import ClassVar, Final

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.policy.base import Option
from penstock.core.policy.support.copies import Copies
from penstock.core.policy.support.cost_terms import Terms
from penstock.core.policy.support.engine_model import EngineModel
from penstock.core.policy.support.fitted import FittedPolicy
from penstock.core.policy.support.least import least_score
from penstock.core.policy.support.mean import FadingMean
from penstock.core.policy.support.memory import pruned
from penstock.core.policy.support.objectives import Objectives
from penstock.core.policy.support.serving import PREFIX_BLOCKS, decoding, held, pending
from penstock.core.prefixes.prefix_index import DEFAULT_BLOCKS
from penstock.core.request import Request
from penstock.core.ticket import Ticket

# What a second by which an answer streams later is worth beside a second before it begins: readers
# of a stream wait for its first token. From 0.03 to 0.2 the simulated workloads of
# docs/routing-quality.md differ little; at 1 requests are sent away from the prefixes that they
# share, and at 0 the answers of long conversations slow down.
DELAY_WEIGHT: Final = 0.1

_RATE_S: Final = 30.0  # that the rate of arrivals is taken over
# Exploring what is in use as well made the mean time to first token of Mooncake's trace 1.5% longer
# in the simulator.
_FRESH_S: Final = 10.0  # for which an endpoint that was used counts as known
_STALE_S: Final = 20.0  # after which it is explored at the cost of a prefix too
_KEPT = 0.999  # of the past, per prompt, in the share of tokens that is reused


class MarginalCost(FittedPolicy):
    name: ClassVar[str] = "marginal-cost"
    options: ClassVar[tuple[Option, ...]] = (
        Option("queue_weight", 1.0, "weight of the wait for prompts ahead", minimum=0.0),
        Option("prefill_weight", 1.0, "weight of its own prefill", minimum=0.0),
        Option("transfer_weight", 1.0, "weight of moving a KV cache", minimum=0.0),
        Option("decode_weight", DELAY_WEIGHT, "weight of its own decoding", minimum=0.0),
        Option("followers_weight", 1.0, "weight of the wait of those to come", minimum=0.0),
        Option("disturbance_weight", DELAY_WEIGHT, "weight of holding up the others", minimum=0.0),
        Option("slowdown_weight", DELAY_WEIGHT, "weight of slowing the others down", minimum=0.0),
        Option("eviction_weight", 1.0, "weight of what the cache loses", minimum=0.0),
        Option("ttft_objective_s", 0.0, "seconds to the first token; 0: none", minimum=0.0),
        Option("token_objective_s", 0.0, "seconds per further token; 0: none", minimum=0.0),
        Option("noise", 0.02, "share of J within which endpoints count as equal", minimum=0.0),
        Option("explore", 0.01, "share of picks for the unused", minimum=0.0, maximum=1.0),
        Option(
            "copies", 0.001, "share of prompts that may copy a prefix", minimum=0.0, maximum=1.0
        ),
        PREFIX_BLOCKS,
    )

    def __init__(
        self,
        queue_weight: float = 1.0,
        prefill_weight: float = 1.0,
        transfer_weight: float = 1.0,
        decode_weight: float = DELAY_WEIGHT,
        followers_weight: float = 1.0,
        disturbance_weight: float = DELAY_WEIGHT,
        slowdown_weight: float = DELAY_WEIGHT,
        eviction_weight: float = 1.0,
        ttft_objective_s: float = 0.0,
        token_objective_s: float = 0.0,
        noise: float = 0.02,
        explore: float = 0.01,
        copies: float = 0.001,
        prefix_blocks: int = DEFAULT_BLOCKS,
    ) -> None:
        super().__init__(prefix_blocks)
        self._queue: float = queue_weight
        self._prefill: float = prefill_weight
        self._transfer: float = transfer_weight
        self._decode: float = decode_weight
        self._followers: float = followers_weight
        self._disturbance: float = disturbance_weight
        self._slowdown: float = slowdown_weight
        self._eviction: float = eviction_weight
        self._objectives: Objectives = Objectives(ttft_objective_s, token_objective_s)
        self._noise: float = noise
        self._explore: float = explore
        self.copies: Copies = Copies(copies)
        self._prompt_tokens: float = 0.0
        self._hit_tokens: float = 0.0
        self._arrivals: FadingMean = FadingMean()  # its weight is what counts them
        self.rate_each: float = 0.0  # prompts a second to each endpoint, as of the last pick
        self._used_at: dict[Endpoint, float] = {}

    def rebuild(self, endpoints: list[Endpoint]) -> None:
        super().rebuild(endpoints)
        self._used_at = pruned(self._used_at, endpoints)

    def choose(
        self, request: Request, eligible: list[Endpoint], hits: list[int], env: Env
    ) -> Endpoint:
        if self._explore > 0.0 and env.random() < self._explore:
            forgotten = self._forgotten(request, eligible, hits, env.now)
            if forgotten is not None:
                return forgotten
        loads = [endpoint.load() for endpoint in eligible]
        self.rate_each = self._rate(eligible, loads, env.now) / len(eligible)
        models = self.models(eligible)
        slots = self.index.slots_of(eligible)
        reuse = self.reuse()
        each = Terms()  # of one after the other
        costs: list[float] = []
        fits: list[bool] = []
        cheapest = -1
        least = 0.0
        gain = 0.0  # of the cheapest
        decode = 0.0  # the least
        for index, endpoint in enumerate(eligible):
            self._weigh(
                each,
                request,
                endpoint,
                loads[index],
                models[index],
                hits[index],
                slots[index],
                reuse,
            )
            cost = self.cost(each)
            costs.append(cost)
            fits.append(each.fits)
            if each.fits and (cheapest < 0 or cost < least):
                cheapest = index
                least = cost
                gain = each.gain
            if index == 0 or each.decode < decode:
                decode = each.decode
        none_fits = cheapest < 0
        if none_fits:
            cheapest = costs.index(min(costs))
            least = costs[cheapest]
            gain = self.terms(request, eligible[cheapest], hits[cheapest]).gain
        # What decoding costs wherever it is done tells endpoints not apart, so widens no tie; nor
        # does what a good answer is worth.
        bound = least + self._noise * (least + gain - self._decode * decode)
        best = []
        for index, cost in enumerate(costs):
            if cost <= bound and (fits[index] or none_fits):
                best.append(eligible[index])
        taken = best[0] if len(best) == 1 else least_score(best, 1.0, 0, env)
        if self.copies.share > 0.0 and self.index.deepest:
            at = eligible.index(taken)
            further = self._further(request, eligible, hits, fits, costs, at, env)
            if further >= 0:
                return eligible[further]
        return taken

    def terms(self, request: Request, endpoint: Endpoint, hit: int) -> Terms:
        """What the request would cost there."""
        found = Terms()
        self._weigh(
            found,
            request,
            endpoint,
            endpoint.load(),
            self.model(endpoint),
            hit,
            self.index.slot_of(endpoint),
            self.reuse(),
        )
        return found

    def _weigh(
        self,
        found: Terms,
        request: Request,
        endpoint: Endpoint,
        batch: int,
        model: EngineModel,
        hit: int,
        slot: int,
        reuse: float,
    ) -> None:
        """Set all of ``found``; ``batch`` is its load, ``slot`` its place in the prefix index."""
        prompt = request.prompt_tokens
        output = request.output_tokens
        uncached = max(prompt - hit, 0)
        slots = endpoint.reported.most_running
        full = 0 < slots <= batch
        if full:
            batch = slots - 1  # beside it, once it has one
        kv_tokens = held(endpoint)
        found.slot = 0.0
        found.queue = model.queue_s(pending(endpoint))
        found.prefill = model.prefill_s(uncached, prompt)
        found.step = model.decode_s(batch + 1, kv_tokens + prompt + output / 2.0)
        found.decode = output * found.step
        work_s = model.token_s * uncached
        if full:
            found.slot = self.slots.tokens_before(endpoint, output) * found.step
            found.queue += found.slot
            work_s += found.decode / slots
        found.followers = self.rate_each * work_s * (found.queue + work_s / 2.0)
        # Those whose own prompt still waits lose nothing: they are ahead.
        others = decoding(endpoint)
        found.disturbance = others * model.disturbance_s * uncached
        # Where it waits for a slot, it joins when another leaves.
        found.slowdown = 0.0 if full else batch * output * model.batch_s
        lost = self.index.overflow_at(slot, endpoint, uncached + output)
        found.eviction = reuse * model.token_s * lost
        if self._objectives.any:
            before_s = model.decode_s(batch, kv_tokens)
            after_s = found.step + model.disturbance_s * uncached / max(output, 1)
            self._weigh_objectives(found, output, others, before_s, after_s)
        capacity = endpoint.reported.kv_capacity
        found.fits = capacity == 0 or kv_tokens + uncached + output <= capacity

    def explain_each(
        self, request: Request, eligible: list[Endpoint], hits: list[int]
    ) -> list[dict[str, float]]:
        """Each term of J in seconds, before its weight; ``slot_s`` is the part of ``queue_s`` until
        one of the engine's slots is free; ``fits`` is 0 where the KV cache would not hold the
        request. With objectives, the good answers too, in numbers, and their worth. Where
        the prefix is missing, ``saved_so_far_s`` is what a copy there may cost."""
        explained = []
        longest = max(hits)
        deepest = self.index.deepest
        saved_s = self.copies.saved_so_far_s(request.blocks[deepest - 1]) if deepest else 0.0
        for index, endpoint in enumerate(eligible):
            terms = self.terms(request, endpoint, hits[index])
            each = {
                "queue_s": terms.queue,
                "prefill_s": terms.prefill,
                "decode_s": terms.decode,
                "followers_s": terms.followers,
                "disturbance_s": terms.disturbance,
                "slowdown_s": terms.slowdown,
                "eviction_s": terms.eviction,
                "fits": float(terms.fits),
                "ttft_s": terms.first_token,
                "cost": self.cost(terms),
            }
            if terms.slot > 0.0:
                each["slot_s"] = terms.slot
            if self._objectives.any:
                each["own_good"] = terms.own_good
                each["others_lost"] = terms.others_lost
                each["worth_s"] = terms.worth
            if saved_s > 0.0 and _is_missing(hits[index], longest):
                each["saved_so_far_s"] = saved_s
            explained.append(each)
        return explained

    def cost(self, terms: Terms) -> float:
        """J, in seconds."""
        return (
            self._queue * terms.queue
            + self._prefill * terms.prefill
            + self._transfer * terms.transfer
            + self._decode * terms.decode
            + self._followers * terms.followers
            + self._disturbance * terms.disturbance
            + self._slowdown * terms.slowdown
            + self._eviction * terms.eviction
            - terms.gain
        )

    def reuse(self) -> float:
        """The share of prompt tokens that were sent to the same endpoint before."""
        return self._hit_tokens / self._prompt_tokens if self._prompt_tokens > 0.0 else 0.0

    def on_start(self, ticket: Ticket) -> None:
        super().on_start(ticket)
        self._arrivals.add(0.0, ticket.opened_at, _RATE_S)
        self._used_at[ticket.endpoint] = ticket.opened_at
        self._prompt_tokens = _KEPT * self._prompt_tokens + ticket.kv_tokens
        self._hit_tokens = _KEPT * self._hit_tokens + ticket.hit_tokens

    def _rate(self, eligible: list[Endpoint], loads: list[int], now: float) -> float:
        """Prompts a second, to all endpoints. Those of other workers are told by their load."""
        self._arrivals.fade(now, _RATE_S)
        own = 0
        everyone = 0
        for index, endpoint in enumerate(eligible):
            own += endpoint.in_flight
            everyone += loads[index]
        return self._arrivals.weight / _RATE_S * (everyone / own if own else 1.0)

    def _further(
        self,
        request: Request,
        eligible: list[Endpoint],
        hits: list[int],
        fits: list[bool],
        costs: list[float],
        taken: int,
        env: Env,
    ) -> int:
        """The endpoint that is to compute the prefix once more; -1: none, the one taken holds it
        or it is not worth it."""
        longest = max(hits)
        if hits[taken] < longest:
            return -1
        lacking = []
        cheapest = -1
        for index, hit in enumerate(hits):
            if not _is_missing(hit, longest) or not fits[index]:
                continue
            lacking.append(index)
            if cheapest < 0 or costs[index] < costs[cheapest]:
                cheapest = index
        if not lacking:
            return -1
        # Any of them, as the one that gets the copy will not always be the best to have it.
        other = eligible[lacking[int(env.random() * len(lacking))]]
        saved = costs[taken] - self.cost(self.terms(request, other, longest))
        price = costs[cheapest] - costs[taken]
        block = request.blocks[self.index.deepest - 1]
        return cheapest if self.copies.pays(block, saved, price) else -1

    def _forgotten(
        self, request: Request, eligible: list[Endpoint], hits: list[int], now: float
    ) -> Endpoint | None:
        """The one unused for longest of those that lose not much of a prefix by it, or have not
        been used for so long that it does not matter; None if all are in use, and so known."""
        prompt = request.prompt_tokens
        bound = 2 * max(prompt - max(hits), 0)
        found = None
        oldest = now - _FRESH_S
        for index, endpoint in enumerate(eligible):
            used_at = self._used_at.get(endpoint, -_FRESH_S)
            if used_at > oldest or endpoint.in_flight > 0:
                continue
            if prompt - hits[index] <= bound or used_at <= now - _STALE_S:
                found = endpoint
                oldest = used_at
        return found

    def weigh_goodness(self, terms: Terms, ticket: Ticket, uncached: int) -> None:
        """Which answers keep to the objectives if so many tokens of the ticket's prompt, which was
        just opened, are computed where it is answered."""
        if not self._objectives.any:
            return
        endpoint = ticket.endpoint
        model = self.model(endpoint)
        request = ticket.request
        kv_tokens = held(endpoint)
        before_s = model.decode_s(max(ticket.load - 1, 0), kv_tokens - ticket.kv_tokens)
        terms.step = model.decode_s(ticket.load, kv_tokens)
        after_s = terms.step + model.disturbance_s * uncached / max(request.output_tokens, 1)
        others = decoding(endpoint)
        self._weigh_objectives(terms, request.output_tokens, others, before_s, after_s)

    def _weigh_objectives(
        self, terms: Terms, output: int, others: int, before_s: float, after_s: float
    ) -> None:
        """Which answers keep to the objectives; that of tokens is asked of the ``others``, whose
        tokens are ``before_s`` apart and would be ``after_s``."""
        objectives = self._objectives
        terms.own_good = objectives.ttft_met(terms.first_token) * objectives.token_met(terms.step)
        lost = objectives.token_met(before_s) - objectives.token_met(after_s)
        terms.others_lost = others * max(lost, 0.0)
        terms.worth = objectives.worth(output, DELAY_WEIGHT)


def _is_missing(hit: int, longest: int) -> bool:
    """Whether an endpoint that holds so much of a prefix lacks what another holds of it."""
    return 2 * hit < longest
