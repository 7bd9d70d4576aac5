"""Regular expressions that explode are told from those that do not."""

import pytest

from penstock.config.document.backtracking import may_explode
from penstock.config.document.values import parse_regex


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+",
        "(a*)*b",
        "(?:a+|b)*",
        r"([a-z]+\d?)+x",
        r"(\w+\s?)*",
        "((ab)+)+",
        "(a{1,20}){3,}",
        "x(?=(a+)+b)",
        "^/v1/((?:[^/]*)*)$",
    ],
)
def test_a_repetition_of_little_but_a_repetition_explodes(pattern: str) -> None:
    assert may_explode(pattern)
    with pytest.raises(ValueError, match="exponential"):
        parse_regex(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        "(/[^/]+)*",
        "^/v1/(.*)$",
        "(a|b)*",
        "((a+)b)+",
        "(?>a+)+",
        "(a+)++",
        "(a++)+",
        "(a+){2,5}",
        "(?:ab?)+",
        "/users/[0-9]+/orders/[0-9]+",
        r"\.(?:png|jpe?g|css)$",
    ],
)
def test_others_do_not(pattern: str) -> None:
    assert not may_explode(pattern)
    assert parse_regex(pattern) == pattern
