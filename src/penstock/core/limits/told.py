"""What clients are told of their limits, in the fields that they read.

Sources: OpenAI's guide to rate limits (``x-ratelimit-*``, a duration until the allowance is whole
again), Anthropic's API reference (``anthropic-ratelimit-*``, the time when it is).
"""

from typing import Final

from penstock.core.limits.rules import INPUT_TOKENS, OUTPUT_TOKENS, REQUESTS, TOKENS
from penstock.core.limits.slices import Charge, Holding
from penstock.core.limits.windows import DAY_S, date_of

Told = tuple[bytes, bytes, bytes]  # a field: its name in lower case, its name, its value

_WORDS: Final[dict[int, bytes]] = {
    REQUESTS: b"requests",
    TOKENS: b"tokens",
    INPUT_TOKENS: b"input-tokens",
    OUTPUT_TOKENS: b"output-tokens",
}


def limit_fields(charges: list[Charge], anthropic: bool, now: float, wall_s: float) -> list[Told]:
    """Of each kind of rate the one of which least is left; of OpenAI's fields there are two
    kinds, tokens in and out told as tokens where nothing else counts them."""
    nearest: dict[bytes, Holding] = {}
    for charge in charges:
        rule = charge.holding.rule
        word = _WORDS.get(rule.counts)
        if word is None or rule.budget:
            continue
        if not anthropic and word != b"requests":
            word = b"tokens"
        other = nearest.get(word)
        if other is None or _share_left(charge.holding) < _share_left(other):
            nearest[word] = charge.holding
    fields: list[Told] = []
    for word, holding in nearest.items():
        whole_s = max(holding.whole_at - now, 0.0)
        if anthropic:
            reset = _time(wall_s + whole_s)
            names = (b"limit", b"remaining", b"reset")
            made = [b"anthropic-ratelimit-%b-%b" % (word, name) for name in names]
        else:
            reset = duration(whole_s)
            names = (b"limit", b"remaining", b"reset")
            made = [b"x-ratelimit-%b-%b" % (name, word) for name in names]
        fields.append((made[0], made[0], b"%d" % int(holding.rule.most)))
        fields.append((made[1], made[1], b"%d" % int(holding.seen_left())))
        fields.append((made[2], made[2], reset))
    return fields


def _share_left(holding: Holding) -> float:
    return holding.seen_left() / holding.rule.most


def duration(seconds: float) -> bytes:
    """As OpenAI writes it: 250ms, 1.5s, 6m0s, 23h59m30s."""
    if seconds < 1.0:
        return b"%dms" % int(seconds * 1000.0)
    if seconds < 60.0:
        return b"%gs" % round(seconds, 3)
    whole = int(seconds)
    hours, rest = divmod(whole, 3600)
    start = b"%dh" % hours if hours else b""
    return start + b"%dm%ds" % divmod(rest, 60)


def _time(wall_s: float) -> bytes:
    """RFC 3339, in whole seconds."""
    year, month, day = date_of(wall_s)
    minutes, second = divmod(int(wall_s % DAY_S), 60)
    return b"%04d-%02d-%02dT%02d:%02d:%02dZ" % (year, month, day, *divmod(minutes, 60), second)
