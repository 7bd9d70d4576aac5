"""What the policies for language-model serving have in common: tokens counted, prefixes remembered.

Own dispatches count at once, by tickets; an engine's reports only correct what others have there.
A prompt that was not understood goes to the endpoint with the fewest requests for its weight.

An endpoint whose cache is cold is *seeded*: for a minute it counts as holding a hot prefix as those
do that hold it, while no prompt waits there and it has no more requests than the others on average.
So the first such prompt that the policy gives it costs one prefill, and then the prefix is there.
Without it, rules that prefer what is cached do not begin to use a new endpoint until the others are
busy (tests/contract/test_seeding.py).

An endpoint that hangs keeps its prefixes, and rules without times would go on sending there. So one
that is silent for too long (``support.belief``) is left out, unless all are, until it is heard
again. Policies that predict times weigh how late it is instead.
"""

from typing import ClassVar, Final

from mypy_extensions import mypyc_attr

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.measure.load_report import LoadReport
from penstock.core.policy.base import Explained, Option, Policy
from penstock.core.policy.support.belief import MOST, PATIENCE, overdue_s
from penstock.core.policy.support.least import least_score, load_terms
from penstock.core.policy.support.warming import Warming
from penstock.core.prefixes.hot_prefixes import HotPrefixes
from penstock.core.prefixes.prefix_index import DEFAULT_BLOCKS, PrefixIndex
from penstock.core.request import Request
from penstock.core.ticket import DONE, Ticket

PREFIX_BLOCKS: Final = Option(
    "prefix_blocks",
    DEFAULT_BLOCKS,
    "blocks of prompts remembered for each endpoint; its cache's size bounds them too, once known",
    minimum=1,
)


_LEAST_EXPECTED_S: Final = 0.25  # of a first token: a second of silence is no hang
_WAIT_STEP: Final = 0.02  # of what first tokens take, per sample
_FEW_WAITS: Final = 10  # samples before silence is judged


class _FirstTokens:
    """What first tokens take in this pool, and how many prompt tokens are computed until then."""

    def __init__(self) -> None:
        self.samples: int = 0
        self._seconds: float = 0.0
        self._tokens: float = 0.0

    def add(self, seconds: float, tokens: int) -> None:
        step = max(_WAIT_STEP, 1.0 / (self.samples + 1))
        if self.samples >= _FEW_WAITS:
            seconds = min(seconds, MOST * max(self._seconds, _LEAST_EXPECTED_S))
        self.samples += 1
        self._seconds += (seconds - self._seconds) * step
        self._tokens += (tokens - self._tokens) * step

    def expected_s(self, tokens: int) -> float:
        """When so many are to be computed; 0 while it is not known."""
        if self.samples < _FEW_WAITS:
            return 0.0
        share = tokens / self._tokens if self._tokens > 0.0 else 1.0
        return max(self._seconds * max(share, 1.0), _LEAST_EXPECTED_S)


@mypyc_attr(allow_interpreted_subclasses=True)
class ServingPolicy(Policy):
    """Hands its subclass understood requests only, with the cached tokens of each endpoint."""

    observes: ClassVar[bool] = True
    reads_prompts: ClassVar[bool] = True

    def __init__(self, prefix_blocks: int = DEFAULT_BLOCKS) -> None:
        self.index: PrefixIndex = PrefixIndex(prefix_blocks)
        self.hot: HotPrefixes = HotPrefixes()
        self.warming: Warming = Warming()
        self._first_tokens: _FirstTokens = _FirstTokens()

    @property
    def prefix_index(self) -> PrefixIndex | None:
        return self.index

    def use_prefix_index(self, index: PrefixIndex) -> None:
        self.index = index

    def choose(
        self, request: Request, eligible: list[Endpoint], hits: list[int], env: Env
    ) -> Endpoint:
        """One of ``eligible`` (at least one); ``hits`` are the cached tokens, beside it."""
        raise NotImplementedError

    def replace_members(self, endpoints: list[Endpoint]) -> None:
        self.index.retain(endpoints)

    def rebuild(self, endpoints: list[Endpoint]) -> None:
        self.warming.replace(endpoints)

    def pick(self, request: Request, eligible: list[Endpoint], env: Env) -> Endpoint | None:
        if not eligible:
            return None
        eligible = self.look(eligible, env.now)
        if request.prompt_tokens <= 0:
            return least_score(eligible, 1.0, 0, env)
        hits = self.index.matches(request, eligible)
        deepest = self.index.deepest
        if deepest:
            if self.warming.any(env.now):
                self._seed(request, eligible, hits)
            self.hot.note(request.blocks[deepest - 1])
        return self.choose(request, eligible, hits, env)

    def look(self, eligible: list[Endpoint], now: float) -> list[Endpoint]:
        """Those that a request may go to as things stand now: all, but for those that are silent
        for too long while others are not."""
        silent = 0
        for endpoint in eligible:
            if self.overdue_s(endpoint, now) > 0.0:
                silent += 1
        if silent == 0 or silent == len(eligible):
            return eligible
        return [endpoint for endpoint in eligible if self.overdue_s(endpoint, now) <= 0.0]

    def overdue_s(self, endpoint: Endpoint, now: float) -> float:
        """For how much longer than it should it has owed a token."""
        if endpoint.silence_s(now) <= PATIENCE * _LEAST_EXPECTED_S:
            return 0.0
        expected_s = self._first_tokens.expected_s(pending(endpoint))
        return overdue_s(endpoint, expected_s, now)

    def explain(self, request: Request, eligible: list[Endpoint], env: Env) -> list[Explained]:
        self.look(eligible, env.now)
        if request.prompt_tokens <= 0:
            return [(e, load_terms(e, 1.0, 0)) for e in eligible]
        hits = self.index.matches(request, eligible)
        believed = hits.copy()
        if eligible and self.index.deepest and self.warming.any(env.now):
            self._seed(request, eligible, hits)
        terms = self.explain_each(request, eligible, hits) if eligible else []
        for index, each in enumerate(terms):
            overdue = self.overdue_s(eligible[index], env.now)
            if overdue > 0.0:
                each["overdue_s"] = overdue
            each["cached_tokens"] = float(believed[index])
            if hits[index] > believed[index]:
                each["seeded_tokens"] = float(hits[index])
        return list(zip(eligible, terms, strict=True))

    def explain_each(
        self, request: Request, eligible: list[Endpoint], hits: list[int]
    ) -> list[dict[str, float]]:
        """What ``choose`` would weigh each by; the cached tokens are added to it, and for how many
        an endpoint counts that is to be seeded."""
        return [{} for _ in eligible]

    def _seed(self, request: Request, eligible: list[Endpoint], hits: list[int]) -> None:
        """Let cold endpoints that have little to do count as holding a hot prefix."""
        if not self.hot.ends_with(request.blocks[self.index.deepest - 1]):
            return
        longest = max(hits)
        requests = sum([endpoint.load() for endpoint in eligible])
        for index, endpoint in enumerate(eligible):
            if hits[index] >= longest or not self.warming.holds(endpoint):
                continue
            if pending(endpoint) > 0 or endpoint.load() * len(eligible) > requests:
                continue
            if self.index.overflow(endpoint, request.prompt_tokens) == 0:
                hits[index] = longest

    def on_report(self, endpoint: Endpoint, report: LoadReport) -> None:
        endpoint.reported.at = report.at
        if report.cold:
            self.index.forget(endpoint)
            self.warming.begin(endpoint)
        if report.kv_tokens >= 0:
            endpoint.tokens_elsewhere.held = max(report.kv_tokens - endpoint.tokens.held, 0)
        if report.most_running >= 0:
            endpoint.reported.most_running = report.most_running
        if report.kv_capacity > 0:
            endpoint.reported.kv_capacity = report.kv_capacity
        if report.cached_tokens >= 0:
            # Prompts under way are remembered before the engine has stored them.
            self.index.trim(endpoint, report.cached_tokens + endpoint.tokens.held)

    def on_start(self, ticket: Ticket) -> None:
        request = ticket.request
        tokens = request.prompt_tokens
        if tokens <= 0:
            return
        endpoint = ticket.endpoint
        hit = min(self.index.insert(request, endpoint), tokens) if request.blocks else 0
        ticket.hit_tokens = hit
        ticket.prefill_tokens = tokens - hit
        ticket.kv_tokens = tokens
        ticket.prefill_ahead = pending(endpoint)
        endpoint.tokens.pending_prefill += tokens - hit
        endpoint.tokens.held += tokens
        endpoint.tokens_changed()

    def on_first_byte(self, ticket: Ticket) -> None:
        if ticket.kv_tokens == 0 or ticket.batch_before:
            return
        endpoint = ticket.endpoint
        endpoint.tokens.pending_prefill -= ticket.prefill_tokens
        endpoint.tokens.prefilled += ticket.prefill_tokens
        endpoint.tokens.decoding += 1
        ticket.batch_before = decoding(endpoint)
        ticket.kv_before = held(endpoint)
        ticket.prefilled_before = prefilled(endpoint)
        endpoint.tokens_changed()
        if ticket.request.streams and ticket.status < 400:
            self._first_tokens.add(
                ticket.first_byte_at - (ticket.transfer_began or ticket.opened_at),
                ticket.prefill_ahead + ticket.prefill_tokens,
            )

    def leave_prompt(self, ticket: Ticket) -> None:
        """Another endpoint computes what its own has not cached."""
        endpoint = ticket.endpoint
        ticket.left_tokens = ticket.prefill_tokens
        endpoint.tokens.pending_prefill -= ticket.prefill_tokens
        ticket.prefill_tokens = 0
        endpoint.tokens_changed()

    def take_prompt(self, ticket: Ticket) -> None:
        """It does so itself after all."""
        endpoint = ticket.endpoint
        ticket.prefill_ahead = pending(endpoint)
        ticket.prefill_tokens = ticket.left_tokens
        endpoint.tokens.pending_prefill += ticket.prefill_tokens
        ticket.left_tokens = 0
        endpoint.tokens_changed()

    def on_end(self, ticket: Ticket) -> None:
        if ticket.kv_tokens == 0:
            return
        endpoint = ticket.endpoint
        endpoint.tokens.held -= ticket.kv_tokens
        if ticket.batch_before:
            endpoint.tokens.decoding -= 1
        else:
            endpoint.tokens.pending_prefill -= ticket.prefill_tokens
        endpoint.tokens_changed()
        if ticket.failed and ticket.outcome != DONE:
            # An engine that died comes back with a cold cache; one that stalled is not worth
            # being held to.
            self.index.forget(endpoint)
            self.warming.begin_after_failure(endpoint, ticket.settled_at)


def pending(endpoint: Endpoint) -> int:
    """Prompt tokens not computed yet there, as far as is known."""
    return endpoint.tokens.pending_prefill + endpoint.tokens_elsewhere.pending_prefill


def held(endpoint: Endpoint) -> int:
    """Tokens that running requests hold there, as far as is known."""
    return endpoint.tokens.held + endpoint.tokens_elsewhere.held


def decoding(endpoint: Endpoint) -> int:
    """Requests whose answer has begun there, as far as is known."""
    return endpoint.tokens.decoding + endpoint.tokens_elsewhere.decoding


def prefilled(endpoint: Endpoint) -> int:
    """Prompt tokens computed there, as far as is known: a running total."""
    return endpoint.tokens.prefilled + endpoint.tokens_elsewhere.prefilled
