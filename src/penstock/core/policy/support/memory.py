"""What a policy remembers about endpoints, kept while they are out of rotation."""

from typing import Final, TypeVar

from penstock.core.endpoint import Endpoint

T = TypeVar("T")

_SPARE: Final = 64  # endpoints that may be remembered beyond twice the eligible ones


def pruned(known: dict[Endpoint, T], endpoints: list[Endpoint]) -> dict[Endpoint, T]:
    """``known``, or only its part about ``endpoints`` when most of it is about others.

    A policy hears only of the eligible. An endpoint that is ejected for a minute should come back
    with its measurements, one that was removed should be forgotten; the bound does both.
    """
    if len(known) <= 2 * len(endpoints) + _SPARE:
        return known
    return {endpoint: known[endpoint] for endpoint in endpoints if endpoint in known}
