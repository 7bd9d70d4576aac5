"""How a scenario writes inference engines, and the prompts that they get."""

from typing import Self

from pydantic import model_validator

from penstock.config.document.section import Section, required, setting
from penstock.config.document.values import Count, Factor, Flag, PositiveCount
from penstock.core.caller import ANYONE, Caller
from penstock.sim.engine_timing import PROFILES
from penstock.sim.inference import EngineLimits, InferenceEngine
from penstock.sim.kernel.engine_server import JobSequence
from penstock.sim.kernel.laws import Deterministic, Law, LogNormal
from penstock.sim.kernel.prompts import Tenant
from penstock.sim.specs import LawSpec


class EngineSpec(Section):
    """An inference engine: continuous batching, KV cache with prefixes, preemption."""

    profile: str = setting("llama-70b-h100", "A model on an accelerator: timing and KV cache.")
    kv_tokens: Count = setting(0, "Tokens that the KV cache holds; 0: as in the profile.")
    block_tokens: PositiveCount = setting(16, "Tokens of a block of the KV cache.")
    max_batched_tokens: PositiveCount = setting(8192, "Most tokens computed in a step.")
    max_sequences: PositiveCount = setting(256, "Most sequences that run at once.")
    reports_sequences: Flag = setting(
        False, "Whether it reports `max_sequences`, as llama.cpp does its slots."
    )
    store: Factor = setting(
        0.0, "Tokens per second that come from a store of prefixes that the group shares; 0: none."
    )

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.profile not in PROFILES:
            raise ValueError(f"no profile {self.profile!r}; there are: {', '.join(PROFILES)}")
        return self

    def build(self) -> InferenceEngine[JobSequence]:
        """A cold engine."""
        profile = PROFILES[self.profile]
        limits = EngineLimits(
            kv_tokens=self.kv_tokens or profile.kv_tokens,
            block_tokens=self.block_tokens,
            max_batched_tokens=self.max_batched_tokens,
            max_sequences=self.max_sequences,
            reports_sequences=self.reports_sequences,
        )
        return InferenceEngine(profile.timing, limits)


class Lengths(Section):
    """A number of tokens; log-normal about its mean."""

    mean: PositiveCount = required("Mean, in tokens.")
    cv2: Factor = setting(0.5, "Variance / mean²; 0: always the mean.")

    def build(self) -> Law:
        """The law of the length."""
        mean = float(self.mean)
        return LogNormal(mean, self.cv2) if self.cv2 > 0 else Deterministic(mean)


class TenantSpec(Section):
    """Users of a model who are alike; arrivals begin conversations."""

    name: str = required("Of the tenant.")
    share: Factor = setting(1.0, "Of all conversations, in proportion.")
    groups: Count = setting(1, "Different system prompts; each conversation has one of them.")
    system_tokens: Count = setting(0, "Length of the system prompts.")
    turns: float = setting(1.0, "Mean number of requests in a conversation.", ge=1)
    input: Lengths = setting(Lengths(mean=500), "What each turn adds to the prompt.")
    output: Lengths = setting(Lengths(mean=250), "Answers.")
    think: LawSpec = setting(
        LawSpec.model_validate({"mean": "10s"}), "Between an answer and the next turn."
    )

    weight: Factor = setting(1.0, "Its share beside others that wait, in proportion.", gt=0)
    priority: Count | None = setting(None, "Of its requests, 0 first; `default_priority` without.")

    def caller(self) -> Caller:
        """As the balancer knows it."""
        priority = -1 if self.priority is None else self.priority
        return Caller(tenant=self.name, priority=priority, weight=self.weight)

    def build(self, *, known: bool = True) -> Tenant:
        """The tenant; ``known`` to the balancer, or anyone to it."""
        return Tenant(
            self.name,
            caller=self.caller() if known else ANYONE,
            share=self.share,
            groups=self.groups,
            system_tokens=self.system_tokens,
            turns=self.turns,
            input_tokens=self.input.build(),
            output_tokens=self.output.build(),
            think_s=self.think.build(),
        )


class Prompts(Section):
    """Requests to language models: generated for tenants, or those of a trace."""

    tenants: tuple[TenantSpec, ...] = setting((), "Who asks.")
    trace: str = setting("", "A file in Mooncake's or Azure's format, instead; it has the times.")
    limit: Count = setting(0, "Requests of the trace; 0: all.")
    rate_scale: Factor = setting(1.0, "The trace's arrivals, times this.", gt=0)
    think: Flag = setting(
        False, "Requests of the trace that continue one another wait for the answer, and a pause."
    )
    prefill_only: Flag = setting(False, "Answers of one token, as on instances for prompts only.")

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if bool(self.tenants) == bool(self.trace):
            raise ValueError("prompts need tenants or a trace, one of them")
        if self.think and not self.trace:
            raise ValueError("`think` is of a trace; tenants have a law of their own for it")
        return self
