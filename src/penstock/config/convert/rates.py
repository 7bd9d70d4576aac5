"""Rates of requests as `limits` have them, and counts that several routes share."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil
from typing import Any, Final

from penstock.config.convert.conditions import InexpressibleError

_PERIODS: Final = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_DIGITS: Final = 1e9  # of a share, rounded up so that what it is of stays whole

Limit = dict[str, Any]


def rate_limit(count: int, seconds: float, at_once: int, taken: Iterable[object] = ()) -> Limit:
    """So many requests in so long, of which ``at_once`` may come together: per as short a time as
    holds that many, and a whole number of them. ``taken``: times that other limits there are per.

    Raises InexpressibleError.
    """
    for per, length in _PERIODS.items():
        amount = count * length / seconds
        whole = int(amount + 1e-9)
        if whole < at_once or per in taken or (abs(amount - whole) > 1e-6 and per != "day"):
            continue
        limit: Limit = {"requests": whole, "per": per}
        if at_once < whole:
            limit["burst"] = ceil(at_once / whole * _DIGITS) / _DIGITS
        return limit
    raise InexpressibleError("more at once than come in a day")


@dataclass(frozen=True)
class Spread:
    """A count that ``routes`` of them keep alone, which was one."""

    key: object
    routes: int


def gathered(
    shared: dict[Any, list[Limit]], routes: list[dict[str, Any]], pools: dict[str, dict[str, Any]]
) -> list[Spread]:
    """What of ``shared``, limits that were one count by key, is still spread over routes.

    Where all routes to one pool have it, and no others, it is the pool's from here on. Limits are
    told apart as objects.
    """
    spread: list[Spread] = []
    for key, limits in shared.items():
        having = [route for route in routes if any(_has(route, limit) for limit in limits)]
        if len(having) < 2:
            continue
        to = {route["pool"] for route in having}
        all_to_them = [route for route in routes if route.get("pool") in to]
        alike = all(_has(route, limit) for limit in limits for route in having)
        if alike and len(to) == 1 and len(all_to_them) == len(having):
            for limit in limits:
                _move(limit, having, pools[having[0]["pool"]])
        else:
            spread.append(Spread(key, len(having)))
    return spread


def told_of(spread: Spread) -> str:
    """What a person is told of it."""
    count = spread.routes
    return f"{count} routes have it, and each counts alone: up to {count} times as much passes"


def _move(limit: Limit, routes: list[dict[str, Any]], pool: dict[str, Any]) -> None:
    pool.setdefault("limits", []).append(limit)
    for route in routes:
        kept = [each for each in route["limits"] if each is not limit]
        if kept:
            route["limits"] = kept
        else:
            del route["limits"]


def _has(route: dict[str, Any], limit: Limit) -> bool:
    return any(each is limit for each in route.get("limits", ()))
