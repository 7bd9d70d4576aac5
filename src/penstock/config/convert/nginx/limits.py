"""`limit_req` and `limit_conn`: `limits` of routes, or of the pool that all of them lead to."""

import re
from dataclasses import dataclass
from typing import Any, Final

from penstock.config.convert.conditions import Action, InexpressibleError
from penstock.config.convert.nginx.context import Chain, Conversion
from penstock.config.convert.nginx.reader import Directive
from penstock.config.convert.rates import gathered, rate_limit, told_of

_ADDRESS: Final = ("$binary_remote_addr", "$remote_addr")


@dataclass(frozen=True)
class Zone:
    """What requests are counted by, and how many may come: ``rate`` in so many seconds."""

    by: tuple[str, ...]
    of_server: bool  # each server counts alone
    rate: int = 0
    seconds: int = 1


@dataclass
class Limited:
    """One zone, as routes are held to it."""

    limit: dict[str, Any]
    directives: list[Directive]


class Limits:
    """What of a configuration is limited."""

    def __init__(self, conversion: Conversion, http: Directive) -> None:
        self._conversion = conversion
        # By the directive that uses them, and name; or why it cannot be had.
        self._zones: dict[tuple[str, str], Zone | str] = {}
        self._delaying: list[tuple[Directive, int]] = []  # and how many pass at once here
        self._limited: dict[tuple[str, str, int], list[Limited]] = {}
        for each in http.of("limit_req_zone", "limit_conn_zone"):
            name = _argument(each, "zone").partition(":")[0]
            try:
                self._zones[each.name.removesuffix("_zone"), name] = _zone(each)
            except InexpressibleError as error:
                self._zones[each.name.removesuffix("_zone"), name] = str(error)

    def limit(self, chain: Chain, action: Action) -> None:
        """Hold what happens in a block to its limits."""
        made: list[dict[str, Any]] = []
        for name in ("limit_req", "limit_conn"):
            dry = self._conversion.value(chain, f"{name}_dry_run") == "on"
            for each in self._conversion.nearest(chain, name):
                if dry:
                    continue
                try:
                    made.append(self._limit(each, chain, made))
                except InexpressibleError as error:
                    self._conversion.leave(each, str(error), "access")
        if made:
            action["limits"] = made

    def _limit(
        self, directive: Directive, chain: Chain, before: list[dict[str, Any]]
    ) -> dict[str, Any]:
        of_req = directive.name == "limit_req"
        name = _argument(directive, "zone") if of_req else directive.args[0]
        zone = self._zones.get((directive.name, name))
        if zone is None:
            raise InexpressibleError(f"no `{directive.name}_zone` is called {name!r}")
        if isinstance(zone, str):
            raise InexpressibleError(zone)
        if of_req:
            limit = self._rate(zone, directive, [each.get("per") for each in before])
        else:
            limit = {"concurrent": _whole(directive.args[1])}
        if zone.by:
            limit["by"] = list(zone.by)
        server = id(chain[1]) if zone.of_server and len(chain) > 1 else 0
        known = self._limited.setdefault((directive.name, name, server), [])
        for each in known:
            if each.limit == limit:
                each.directives.append(directive)
                return each.limit
        known.append(Limited(limit, [directive]))
        return limit

    def _rate(self, zone: Zone, directive: Directive, taken: list[Any]) -> dict[str, Any]:
        """So many at once as nginx lets pass; its `burst` may be more than comes in its period."""
        at_once = 1 + _whole(_argument(directive, "burst") or "0")
        if "nodelay" not in directive.args and at_once > 1:
            self._delaying.append((directive, at_once))
        return rate_limit(zone.rate, zone.seconds, at_once, taken)

    def settle(self, routes: list[dict[str, Any]]) -> None:
        """A zone is one count: where several routes have it, it is their pool's, if it can be.

        What else is told of their directives comes last: of each the first that is told counts.
        """
        shared = {key: [each.limit for each in some] for key, some in self._limited.items()}
        for spread in gathered(shared, routes, self._conversion.pools):
            for limited in self._limited[spread.key]:  # type: ignore[index]  # a key of it
                for directive in limited.directives:
                    self._conversion.leave(directive, told_of(spread), "access")
        for directive, at_once in self._delaying:
            self._conversion.leave(
                directive,
                f"nothing is delayed: {at_once} requests pass at once, others get 429 until more "
                "may come",
            )


def _zone(directive: Directive) -> Zone:
    key = directive.args[0]
    header = re.fullmatch(r"\$http_(\w+)", key)
    if key in _ADDRESS:
        by: tuple[str, ...] = ("address",)
    elif header is not None:
        raise InexpressibleError(
            f"by {key}: requests without it were not counted, and are here: write "
            f"`limits: {{by: header:{header[1].replace('_', '-')}}}`"
        )
    elif key == "$server_name":
        by = ()
    else:
        raise InexpressibleError(f"requests are not counted by {key}")
    rate = _argument(directive, "rate")
    if not rate:
        return Zone(by, key == "$server_name")
    found = re.fullmatch(r"(\d+)r/([sm])", rate)
    if found is None or not int(found[1]):
        raise InexpressibleError(f"{rate!r} is no rate")
    return Zone(by, key == "$server_name", int(found[1]), 1 if found[2] == "s" else 60)


def _argument(directive: Directive, name: str) -> str:
    """Of `name=value`."""
    for each in directive.args:
        if each.startswith(f"{name}="):
            return each.partition("=")[2]
    return ""


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise InexpressibleError(f"{text!r} is no number")
    return int(text)
