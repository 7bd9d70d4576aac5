"""Whether a regular expression may take exponential time on a text that a client chooses.

Python's engine backtracks: a repetition whose body is little else than a repetition of its own,
such as ``(a+)+``, is tried in exponentially many ways on a text that does not match in the end.
This finds that common form and no other; what it lets through may still be slow, and is the
author's to know.
"""

import re
from re import _constants as ops  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, Final

# Possessive repetitions give nothing back, so they are not among these.
_REPEATS: Final = (ops.MAX_REPEAT, ops.MIN_REPEAT)
_MANY: Final = 16  # repetitions from which it matters


def may_explode(pattern: str) -> bool:
    """Whether a repetition repeats a repetition with nothing certain between two of its rounds.

    Raises re.error when the pattern is none.
    """
    return _explodes(parser.parse(pattern, re.DOTALL))


def _explodes(items: Any) -> bool:
    return any(
        (op in _REPEATS and _is_many(value) and _is_loose(value[2])) or _inside(op, value)
        for op, value in items
    )


def _inside(op: Any, value: Any) -> bool:
    return any(_explodes(part) for part in _parts(op, value))


def _is_loose(body: Any) -> bool:
    """Whether the body can be one of its own repetitions, and nothing else."""
    loose = False
    for op, value in body:
        if _is_a_loose_item(op, value):
            loose = True
        elif not _may_be_empty(op, value):
            return False
    return loose


def _is_a_loose_item(op: Any, value: Any) -> bool:
    if op in _REPEATS:
        return _is_many(value)
    if op is ops.SUBPATTERN:
        return _is_loose(value[3])
    return op is ops.BRANCH and any(_is_loose(choice) for choice in value[1])


def _may_be_empty(op: Any, value: Any) -> bool:
    if op in (*_REPEATS, ops.POSSESSIVE_REPEAT):
        return bool(value[0] == 0)
    if op in (ops.AT, ops.ASSERT, ops.ASSERT_NOT):
        return True
    if op is ops.SUBPATTERN:
        return all(_may_be_empty(*item) for item in value[3])
    if op is ops.BRANCH:
        return any(all(_may_be_empty(*item) for item in choice) for choice in value[1])
    return False


def _is_many(repeat: Any) -> bool:
    most = repeat[1]
    return bool(most is ops.MAXREPEAT or most >= _MANY)


def _parts(op: Any, value: Any) -> list[Any]:
    """The sequences inside an item, but for those that are matched as a whole or not at all."""
    if op in _REPEATS:
        return [value[2]]
    if op is ops.SUBPATTERN:
        return [value[3]]
    if op is ops.BRANCH:
        return list(value[1])
    if op in (ops.ASSERT, ops.ASSERT_NOT):
        return [value[1]]
    return []
