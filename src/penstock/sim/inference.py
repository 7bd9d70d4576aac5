"""A language-model engine as a pure state machine: batches, prompts in chunks, blocks of KV cache.

It is vLLM's scheduler in essence. Work happens in steps. In every step each running sequence gets
as many tokens computed as it lacks, within the step's token budget, those that run before those
that wait; a sequence all of whose tokens are computed at the end of a step emits one more. So a
prompt is computed in chunks beside the decoding of others, and a sequence that was preempted
computes its tokens again. When no block of KV cache is left, the sequence that was admitted last
gives up its own.

No clock: ``step`` is called at ``due``, and whoever calls decides what a second is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence as Seq
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from penstock.sim.engine_timing import EngineTiming
from penstock.sim.kv_cache import CacheEvent, KvCache
from penstock.sim.sequence import Sequence

S = TypeVar("S", bound=Sequence)


@dataclass(frozen=True)
class EngineLimits:
    """Defaults are those of vLLM's API server on large accelerators."""

    kv_tokens: int
    block_tokens: int = 16
    max_batched_tokens: int = 8192
    max_sequences: int = 256
    reports_sequences: bool = False  # it says so, as llama.cpp does of its slots


@dataclass
class EngineLoad:
    """What an engine says of itself. Totals count from the last cold start."""

    running: int = 0
    waiting: int = 0
    kv_used_tokens: int = 0
    kv_tokens: int = 0
    prompt_tokens_total: int = 0
    output_tokens_total: int = 0
    prefix_queries_total: int = 0  # prompt tokens looked up in the cache
    prefix_hits_total: int = 0  # and found there
    preemptions_total: int = 0
    finished_total: int = 0

    @property
    def kv_usage(self) -> float:
        return self.kv_used_tokens / self.kv_tokens if self.kv_tokens else 0.0


class InferenceEngine(Generic[S]):
    """One engine, of sequences or a subclass. Times are seconds on the caller's clock."""

    def __init__(
        self, timing: EngineTiming, limits: EngineLimits, recording_cache: bool = False
    ) -> None:
        self.limits = limits
        self._timing = timing
        self._recording_cache = recording_cache
        self.reset()

    def reset(self) -> None:
        """A cold start: no work, an empty cache, totals at zero."""
        capacity = self.limits.kv_tokens // self.limits.block_tokens
        self._cache = KvCache(capacity, self._recording_cache)
        self._running: list[S] = []  # in order of admission
        self._waiting: deque[S] = deque()
        self._step_ends: float | None = None
        self.begun: list[S] = []  # that the step under way is the first to compute
        self._totals = EngineLoad(kv_tokens=capacity * self.limits.block_tokens)

    @property
    def due(self) -> float | None:
        """When the step under way ends; None when there is nothing to do."""
        return self._step_ends

    def fits(self, sequence: S) -> bool:
        """Whether the cache could ever hold it whole."""
        return sequence.prompt_tokens + sequence.output_tokens <= self._totals.kv_tokens

    def submit(self, sequence: S, now: float) -> None:
        """Take a sequence in. Raises ValueError for one that can never fit."""
        if not self.fits(sequence):
            raise ValueError(
                f"{sequence.prompt_tokens} + {sequence.output_tokens} tokens do not fit a "
                f"KV cache of {self._totals.kv_tokens}"
            )
        sequence.arrived_at = now
        self._waiting.append(sequence)
        if self._step_ends is None:
            self._begin_step(now)

    def cancel(self, sequence: S) -> None:
        """Forget a sequence wherever it is; its blocks are free at once."""
        if sequence in self._running:
            self._running.remove(sequence)
            self._release(sequence)
        elif sequence in self._waiting:
            self._waiting.remove(sequence)

    def step(self, now: float) -> list[S]:
        """End the step under way and begin the next; returns those that got a token, one each."""
        emitted = [sequence for sequence in self._running if self._complete(sequence, now)]
        finished = [sequence for sequence in emitted if sequence.finished]
        if finished:
            for sequence in finished:
                self._release(sequence)
            self._running = [sequence for sequence in self._running if not sequence.finished]
            self._totals.finished_total += len(finished)
        self._totals.output_tokens_total += len(emitted)
        self._begin_step(now)
        return emitted

    def load(self) -> EngineLoad:
        """Its state at this moment, a value of its own."""
        return replace(
            self._totals,
            running=len(self._running),
            waiting=len(self._waiting),
            kv_used_tokens=self._cache.used * self.limits.block_tokens,
        )

    def sequences(self) -> tuple[list[S], list[S]]:
        """Those that run and those that wait, in the order in which they are served."""
        return list(self._running), list(self._waiting)

    def cached(self, blocks: Seq[int]) -> int:
        """How many of the leading ``blocks`` of a prompt are in the prefix cache."""
        return self._cache.match(blocks, len(blocks))

    def adopt(self, blocks: Seq[int]) -> None:
        """Leading blocks of a prompt that were computed elsewhere are here."""
        self._cache.adopt(blocks)

    def clear_cache(self) -> bool:
        """Empty the prefix cache, as engines do only when nothing runs; whether that was done."""
        return self._cache.clear()

    def take_cache_events(self) -> list[CacheEvent]:
        """What entered and left the prefix cache since the last call, when it is recorded."""
        return self._cache.take_events()

    def _complete(self, sequence: S, now: float) -> bool:
        """Credit the step to ``sequence``; whether it emits a token."""
        if not sequence.scheduled:
            return False
        sequence.computed += sequence.scheduled
        sequence.scheduled = 0
        full = min(sequence.computed // self.limits.block_tokens, len(sequence.blocks))
        while sequence.held < full:
            self._cache.name(sequence, sequence.held)
            sequence.held += 1
            sequence.anonymous -= 1
        if sequence.missing:
            return False
        sequence.generated += 1
        if sequence.generated == 1:
            sequence.first_token_at = now
        return True

    def _begin_step(self, now: float) -> None:
        budget = self.limits.max_batched_tokens
        if self.begun:
            self.begun = []
        before = self._totals.preemptions_total
        budget -= self._schedule_running(budget)
        if self._totals.preemptions_total == before:
            self._schedule_waiting(budget, now)
        duration_ms = self._step_ms()
        self._step_ends = now + duration_ms / 1000 if duration_ms else None

    def _schedule_running(self, budget: int) -> int:
        """Give the running their tokens, oldest first; returns how many tokens that is."""
        left = budget
        index = 0
        while index < len(self._running) and left:
            sequence = self._running[index]
            tokens = min(sequence.missing, left)
            if self._allocate(sequence, tokens):
                sequence.scheduled = tokens
                left -= tokens
                index += 1
            else:
                self._preempt(self._running.pop())
        return budget - left

    def _schedule_waiting(self, budget: int, now: float) -> None:
        while self._waiting and budget and len(self._running) < self.limits.max_sequences:
            sequence = self._waiting[0]
            self._reuse_prefix(sequence)
            tokens = min(sequence.missing, budget)
            if not self._allocate(sequence, tokens):
                self._release(sequence)
                return
            self._waiting.popleft()
            self._running.append(sequence)
            sequence.scheduled = tokens
            budget -= tokens
            if sequence.admitted_at < 0:
                sequence.admitted_at = now
                self.begun.append(sequence)
                sequence.cached_tokens = sequence.computed
                self._totals.prompt_tokens_total += sequence.prompt_tokens
                self._totals.prefix_queries_total += sequence.prompt_tokens
                self._totals.prefix_hits_total += sequence.computed

    def _reuse_prefix(self, sequence: S) -> None:
        """Hold the blocks that are cached; one token at least is left to compute."""
        reusable = (sequence.missing - 1) // self.limits.block_tokens
        found = self._cache.match(sequence.blocks, reusable)
        self._cache.hold(sequence.blocks[:found])
        sequence.held = found
        sequence.computed = found * self.limits.block_tokens

    def _allocate(self, sequence: S, tokens: int) -> bool:
        """Blocks for ``tokens`` more of ``sequence``; False when there are not enough."""
        needed = -(-(sequence.computed + tokens) // self.limits.block_tokens)
        further = needed - sequence.held - sequence.anonymous
        if further > 0:
            if not self._cache.take(further):
                return False
            sequence.anonymous += further
        return True

    def _preempt(self, sequence: S) -> None:
        """Back to the head of the queue; its tokens are to be computed again."""
        self._release(sequence)
        sequence.preemptions += 1
        self._totals.preemptions_total += 1
        self._waiting.appendleft(sequence)

    def _release(self, sequence: S) -> None:
        self._cache.let_go(sequence.blocks[: sequence.held], sequence.anonymous)
        sequence.held = sequence.anonymous = sequence.computed = sequence.scheduled = 0

    def _step_ms(self) -> float:
        """How long the scheduled work takes; 0 when there is none.

        The weights are read once for the whole batch, so its parts share the larger base.
        """
        timing = self._timing
        prefill_ms = 0.0
        decoding = decoding_tokens = 0
        prefilling = False
        for sequence in self._running:
            if not sequence.scheduled:
                continue
            if _is_decoding(sequence):
                decoding += 1
                decoding_tokens += sequence.computed
            else:
                prefilling = True
                prefill_ms += timing.prefill_part_ms(sequence.scheduled, sequence.computed)
        if not prefilling and not decoding:
            return 0.0
        usage = self._cache.used / self._cache.capacity
        if not prefilling:
            return timing.decode_ms(decoding, decoding_tokens, usage)
        if not decoding:
            return timing.prefill_base + prefill_ms
        base = max(timing.prefill_base, timing.decode_base)
        return base + prefill_ms + timing.decode_part_ms(decoding, decoding_tokens, usage)


def _is_decoding(sequence: Sequence) -> bool:
    return sequence.generated > 0 and sequence.missing == 1
