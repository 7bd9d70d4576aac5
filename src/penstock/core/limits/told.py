"""What clients are told of their limits, in the fields that they read.

Sources: OpenAI's guide to rate limits (``x-ratelimit-*``, a duration until the allowance is whole
again), Anthropic's API reference (``anthropic-ratelimit-*``, the time when it is).
"""

from typing import Final

from penstock.core.limits.rules import (
    CONCURRENT,
    INPUT_TOKENS,
    OUTPUT_TOKENS,
    REQUESTS,
    TOKENS,
    Rule,
)
from penstock.core.limits.slices import Charge, Holding
from penstock.core.limits.windows import DAY_S, date_of


class Template:
    """The field lines of one limit, each with its line's end before it, but for what changes."""

    def __init__(self, word: bytes, anthropic: bool, limit: int) -> None:
        self.word: bytes = word
        if anthropic:
            start = b"\r\nanthropic-ratelimit-" + word
            names = (start + b"-limit: ", start + b"-remaining: ", start + b"-reset: ")
        else:
            start = b"\r\nx-ratelimit-"
            names = (
                start + b"limit-" + word + b": ",
                start + b"remaining-" + word + b": ",
                start + b"reset-" + word + b": ",
            )
        self.before: bytes = names[0] + b"%d" % limit + names[1]
        self.between: bytes = names[2]


# By what a rule counts. OpenAI's fields know no tokens of prompts or answers alone.
_OPENAI: Final[dict[int, bytes]] = {
    REQUESTS: b"requests",
    TOKENS: b"tokens",
    INPUT_TOKENS: b"tokens",
    OUTPUT_TOKENS: b"tokens",
}
_ANTHROPIC: Final[dict[int, bytes]] = {
    REQUESTS: b"requests",
    TOKENS: b"tokens",
    INPUT_TOKENS: b"input-tokens",
    OUTPUT_TOKENS: b"output-tokens",
}


def limit_lines(charges: list[Charge], anthropic: bool, now: float, wall_s: float) -> bytes:
    """Field lines of each kind of rate, by the one of which least is left."""
    lines = b""
    told: dict[bytes, Holding] | None = None
    for charge in charges:
        holding = charge.holding
        rule = holding.rule
        if rule.budget or rule.counts > TOKENS or rule.counts == CONCURRENT:
            continue
        if told is None:
            told = {}
        word = _ANTHROPIC[rule.counts] if anthropic else _OPENAI[rule.counts]
        other = told.get(word)
        if other is None or _share_left(holding) < _share_left(other):
            told[word] = holding
    if told is None:
        return lines
    for holding in told.values():
        template = _template(holding.rule, anthropic)
        whole_s = max(holding.whole_at - now, 0.0)
        reset = _time(wall_s + whole_s) if anthropic else duration(whole_s)
        left = int(holding.seen_left())
        lines += b"%b%d%b%b" % (template.before, left, template.between, reset)
    return lines


def _template(rule: Rule, anthropic: bool) -> Template:
    known = rule.anthropic_lines if anthropic else rule.openai_lines
    if isinstance(known, Template):
        return known
    word = _ANTHROPIC[rule.counts] if anthropic else _OPENAI[rule.counts]
    made = Template(word, anthropic, int(rule.most))
    if anthropic:
        rule.anthropic_lines = made
    else:
        rule.openai_lines = made
    return made


def _share_left(holding: Holding) -> float:
    return holding.seen_left() / holding.rule.most


def duration(seconds: float) -> bytes:
    """As OpenAI writes it: 250ms, 1.5s, 6m0s, 23h59m30s."""
    if seconds < 1.0:
        return b"%dms" % int(seconds * 1000.0)
    if seconds < 60.0:
        return b"%gs" % round(seconds, 3)
    whole = int(seconds)
    minutes = whole // 60
    start = b"%dh" % (minutes // 60) if minutes >= 60 else b""
    return start + b"%dm%ds" % (minutes % 60, whole % 60)


def _time(wall_s: float) -> bytes:
    """RFC 3339, in whole seconds."""
    year, month, day = date_of(wall_s)
    of_day = int(wall_s % DAY_S)
    hour, minute, second = of_day // 3600, of_day // 60 % 60, of_day % 60
    return b"%04d-%02d-%02dT%02d:%02d:%02dZ" % (year, month, day, hour, minute, second)
