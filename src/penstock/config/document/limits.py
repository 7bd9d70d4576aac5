"""The document's part about limits: how much may be asked for."""

import re
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field, model_validator

from penstock.config.document.models import ModelName
from penstock.config.document.section import Section, setting
from penstock.config.document.show import show
from penstock.config.document.values import Factor, OneOrMany, PositiveCount, PositiveSize, Share
from penstock.core import snapshot
from penstock.core.limits.rules import COUNTED
from penstock.core.snapshot.limit import Counted

_LIMIT: Final = snapshot.Limit(name="", counts="requests", amount=1.0)
_PRICE: Final = snapshot.Price()
_PLAIN: Final = ("tenant", "key", "user", "model", "address")
_HEADER: Final = re.compile(r"header:[!#$%&'*+.^_`|~0-9A-Za-z-]+")
BY_PATTERN: Final = f"^({'|'.join(_PLAIN)}|{_HEADER.pattern})$"
_Money = Annotated[float, Field(gt=0, le=1e12)]


def _by(value: object) -> str:
    text = str(value)
    if text in _PLAIN:
        return text
    if not _HEADER.fullmatch(text):
        named = ", ".join(f"`{each}`" for each in _PLAIN)
        raise ValueError(f"{named} or `header:NAME` is needed, not {show(value)}")
    return text.lower()


By = Annotated[str, BeforeValidator(_by), Field(pattern=BY_PATTERN)]


class _Counted(Section):
    """What limits and budgets have in common: exactly one quantity."""

    requests: PositiveCount | None = setting(None, "Requests.")
    tokens: PositiveCount | None = setting(None, "Tokens of prompts and answers.")
    input_tokens: PositiveCount | None = setting(None, "Tokens of prompts.")
    output_tokens: PositiveCount | None = setting(None, "Tokens of answers.")
    cost: _Money | None = setting(None, "Cost, by `prices`.")
    bytes: PositiveSize | None = setting(None, "Bytes of requests and answers.")
    by: OneOrMany[By] = setting(
        _LIMIT.by,
        "What is counted apart, each with the whole amount: `tenant`, `key`, `user` (the field of "
        "the body), `model`, `address` (of IPv6 the /64), `header:NAME`. Several: by combination.",
    )
    reserve: Literal["limit", "expected"] = setting(
        _LIMIT.reserve,
        "How much of an answer is set aside before it comes. `limit`: the most that the request "
        "lets it have; `expected`: as long as answers of late, and more as it grows.",
    )

    def counted(self) -> list[str]:
        """The quantities given."""
        return [name for name in COUNTED if getattr(self, name, None) is not None]

    @model_validator(mode="after")
    def _one_quantity(self) -> "_Counted":
        given = self.counted()
        if len(given) != 1:
            found = f"not {' and '.join(given)}" if given else "none is there"
            names = ", ".join(f"`{name}`" for name in COUNTED if name in type(self).model_fields)
            raise ValueError(f"give exactly one of {names}: {found}")
        return self


class Limit(_Counted):
    """So much in so long, which flows back all the time; or so many at a time."""

    concurrent: PositiveCount | None = setting(None, "Requests at a time.")
    per: Literal["second", "minute", "hour", "day"] | None = setting(
        None, "In how long; not with `concurrent`."
    )
    burst: Share = setting(
        1.0, "Share of the amount that may be taken at once, after nothing was for a while."
    )

    @model_validator(mode="after")
    def _timed(self) -> "Limit":
        if (self.concurrent is None) == (self.per is None):
            raise ValueError(
                "`concurrent` has no `per`"
                if self.per is not None
                else "needs `per`: `second`, `minute`, `hour` or `day`"
            )
        if self.burst <= 0.0:
            raise ValueError("`burst` must be more than 0")
        return self

    def compiled(self, scope: str) -> snapshot.Limit:
        """As the snapshot has it."""
        (what,) = self.counted()
        amount = float(getattr(self, what))
        return _compiled(self, scope, what, amount, self.per or "", budget=False)


class Budget(_Counted):
    """So much in a day, a week, a month of UTC, or for good."""

    per: Literal["day", "week", "month", "ever"] = setting(
        "month", "When it begins anew: with a day, a Monday, a month; or never."
    )

    def compiled(self, scope: str) -> snapshot.Limit:
        """As the snapshot has it."""
        (what,) = self.counted()
        return _compiled(self, scope, what, float(getattr(self, what)), self.per, budget=True)


class Price(Section):
    """What a model costs, per million tokens, in any currency."""

    input: Factor = setting(_PRICE.input, "Of prompts.")
    output: Factor = setting(_PRICE.output, "Of answers.")
    cached: Factor | None = setting(None, "Of what of a prompt was cached. Default: as `input`.")

    def compiled(self) -> snapshot.Price:
        """As the snapshot has it."""
        cached = _PRICE.cached if self.cached is None else self.cached
        return snapshot.Price(self.input, self.output, cached)


Limits = OneOrMany[Limit]
Budgets = OneOrMany[Budget]
Prices = dict[ModelName, Price]


def compiled_limits(
    limits: tuple[Limit, ...], budgets: tuple[Budget, ...], scope: str
) -> tuple[snapshot.Limit, ...]:
    """Those of one scope: each is called by that and by what it counts. Raises ValueError where
    two count the same."""
    found = (
        *[each.compiled(scope) for each in limits],
        *[each.compiled(scope) for each in budgets],
    )
    names = [each.name for each in found]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two limits count the same ({name.removeprefix(scope + ' ')})")
    return found


def _compiled(
    section: Limit | Budget, scope: str, what: str, amount: float, per: str, *, budget: bool
) -> snapshot.Limit:
    kind = "budget" if budget else "limit"
    name = f"{scope} {kind} {what}"
    if per:
        name += f"/{per}"
    if section.by:
        name += f" by {','.join(section.by)}"
    burst = getattr(section, "burst", 1.0)
    counts: Counted = what  # type: ignore[assignment]  # one of COUNTED
    return snapshot.Limit(
        name=name,
        counts=counts,
        amount=amount,
        per=per,  # type: ignore[arg-type]  # one of the section's own
        budget=budget,
        burst=amount * burst if burst < 1.0 else 0.0,
        by=section.by,
        reserve=section.reserve,
    )
