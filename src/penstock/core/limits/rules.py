"""A limit, as requests are held to it: what of a request it counts, and with which others."""

from typing import Final

from penstock.core.caller import Caller
from penstock.core.limits.subjects import address_subject
from penstock.core.snapshot import Limit, Price, Snapshot

REQUESTS: Final = 0
CONCURRENT: Final = 1
INPUT_TOKENS: Final = 2
OUTPUT_TOKENS: Final = 3
TOKENS: Final = 4
COST: Final = 5
BYTES: Final = 6
COUNTED: Final = (
    "requests",
    "concurrent",
    "input_tokens",
    "output_tokens",
    "tokens",
    "cost",
    "bytes",
)
_MILLION: Final = 1_000_000.0
_LONGEST: Final = 64  # of what a client sends to be told apart by
_NO_PRICE: Final = Price()


class Amounts:
    """What one request takes, or is expected to. Tokens of the prompt that were cached are among
    ``prompt``."""

    def __init__(
        self, prompt: int = 0, output: int = 0, cached: int = 0, size: int = 0, cost: float = 0.0
    ) -> None:
        self.prompt: int = prompt
        self.output: int = output
        self.cached: int = cached
        self.size: int = size  # bytes, of request and answer
        self.cost: float = cost


class Prices:
    """Of models, per million tokens. One without a price is free."""

    def __init__(self, by_model: dict[str, Price]) -> None:
        self._input: dict[str, float] = {}
        self._output: dict[str, float] = {}
        self._cached: dict[str, float] = {}
        for model, price in by_model.items():
            self._input[model] = price.input / _MILLION
            self._output[model] = price.output / _MILLION
            cached = price.cached if price.cached >= 0.0 else price.input
            self._cached[model] = cached / _MILLION

    def cost(self, model: str, prompt: int, output: int, cached: int = 0) -> float:
        """Of a request to that model."""
        each = self._input.get(model)
        if each is None:
            return 0.0
        fresh = prompt - cached
        return fresh * each + cached * self._cached[model] + output * self._output[model]


class Rule:
    """One limit."""

    def __init__(self, spec: Limit) -> None:
        self.name: str = spec.name
        self.counts: int = COUNTED.index(spec.counts)
        self.amount: float = spec.amount
        self.most: float = spec.burst if 0.0 < spec.burst < spec.amount else spec.amount
        self.openai_lines: object = None  # that clients are told it in (``told``)
        self.anthropic_lines: object = None
        self.budget: bool = spec.budget
        self.per: str = spec.per
        self.by_limit: bool = spec.reserve == "limit"  # answers are reserved by their own limit
        self.by: tuple[str, ...] = spec.by
        self.apart: bool = len(spec.by) > 0
        self.headers: list[bytes] = [
            each.partition(":")[2].encode("latin-1") for each in spec.by if each[:7] == "header:"
        ]
        # Whether it counts what is known only once the body was understood.
        self.counts_requests: bool = self.counts <= CONCURRENT  # each as one
        self.reads: bool = self.counts in (INPUT_TOKENS, OUTPUT_TOKENS, TOKENS, COST)

    def amount_of(self, amounts: Amounts) -> float:
        """How much of what it counts that is."""
        counts = self.counts
        if self.counts_requests:
            return 1.0
        if counts == TOKENS:
            return float(amounts.prompt + amounts.output)
        if counts == INPUT_TOKENS:
            return float(amounts.prompt)
        if counts == OUTPUT_TOKENS:
            return float(amounts.output)
        if counts == COST:
            return amounts.cost
        return float(amounts.size)

    def subject(self, caller: Caller, address: str, model: str, user: str, header: str) -> str:
        """With which others it is counted together. ``header``: the values of ``headers``."""
        if not self.apart:
            return ""
        parts: list[str] = []
        for each in self.by:
            if each == "tenant":
                parts.append(caller.tenant)
            elif each == "key":
                parts.append(f"{caller.tenant}/{caller.key or caller.certificate}")
            elif each == "user":
                parts.append(user[:_LONGEST])
            elif each == "model":
                parts.append(model[:_LONGEST])
            elif each == "address":
                parts.append(address_subject(address))
        if self.headers:
            parts.append(header)
        return "\n".join(parts)


def rules_of(limits: tuple[Limit, ...]) -> list[Rule]:
    """To hold requests to."""
    return [Rule(limit) for limit in limits]


def limits_in(spec: Snapshot) -> list[Limit]:
    """All of a snapshot; their names tell them apart."""
    found: list[Limit] = []
    for tenant in [*spec.tenants, *spec.found_tenants]:
        found += tenant.limits
        for key in tenant.keys:
            found += key.limits
    for route in spec.routes:
        found += route.limits
    for pool in spec.pools:
        found += pool.limits
    return found
