"""`stick-table`, `track-sc0` and `deny if { sc_http_req_rate(0) gt 20 }`: limits by address."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from penstock.config.convert.conditions import Action, Alternative, InexpressibleError
from penstock.config.convert.haproxy.acls import Conditions
from penstock.config.convert.haproxy.reader import Line, Section, seconds, split_condition
from penstock.config.convert.haproxy.told import Told
from penstock.config.convert.rates import Limit, gathered, rate_limit, told_of

_RATE: Final = re.compile(r"(?:sc(\d)?_|(src)_)http_req_rate(?:\(([^)]*)\))?")
_TRACK: Final = re.compile(r"track-sc(\d)")


@dataclass(frozen=True)
class _Asked:
    """What a condition looks at: of which counter, or of whose address, in which table."""

    counter: str  # "": by the address itself
    table: str  # "": not told
    most: int


class Rates:
    """What requests are counted in."""

    def __init__(self, told: Told, sections: Sequence[Section]) -> None:
        self._told = told
        self._tables = {each.name: each for each in sections if each.of("stick-table")}
        self._shared: dict[str, list[Limit]] = {}
        self._refusing: dict[str, list[Line]] = {}

    def used(self, section: Section) -> bool:
        """Whether it is a table that limits came of, and nothing else."""
        others = [each for each in section.lines if each.keyword != "stick-table"]
        return section.name in self._shared and not others

    def limit(
        self, section: Section, conditions: Conditions, line: Line
    ) -> tuple[list[Alternative], Limit] | None:
        """Whom a line refuses that come too often, and how often is not; None if it is of another
        kind. Raises InexpressibleError."""
        asked = _asked(conditions, split_condition(line.args)[1])
        if asked is None:
            return None
        track, key, table = self._track(section, asked)
        section_of_table = self._tables.get(table)
        if section_of_table is None:
            raise InexpressibleError(f"there is no stick-table {table!r}")
        stick = section_of_table.of("stick-table")[-1]
        window_s = _window(stick)
        if key != "src":
            raise InexpressibleError("requests are counted by the client's address alone")
        alternatives = conditions.of(split_condition(track.args)[1])
        limit = rate_limit(asked.most, window_s, asked.most)
        limit["by"] = ["address"]
        shared = self._shared.setdefault(table, [])
        known = next((each for each in shared if each == limit), None)
        if known is None:
            shared.append(limit)
            known = limit
        self._refusing.setdefault(table, []).append(line)
        self._told.take(line, track, stick)
        return alternatives, known

    def _track(self, section: Section, asked: _Asked) -> tuple[Line, str, str]:
        """The line that counts, by what, and in which table."""
        for line in section.of("http-request", "tcp-request"):
            for word in line.args[1:3]:
                found = _TRACK.fullmatch(word)
                if found is None or asked.counter not in ("", found[1]):
                    continue
                table = line.after("table") or section.name
                if asked.table in ("", table):
                    return line, line.after(word) or "", table
        raise InexpressibleError("nothing counts for it here")

    def settle(self, routes: list[dict[str, Any]], pools: dict[str, dict[str, Any]]) -> None:
        """A table is one count: where several routes have it, it is their pool's, if it can be."""
        for spread in gathered(self._shared, routes, pools):
            for line in self._refusing[str(spread.key)]:
                self._told.leave(line, told_of(spread), "access")
        for lines in self._refusing.values():
            for line in lines:
                why = "who comes faster goes on at that rate here, and is not shut out until slower"
                self._told.leave(line, why, "part")


def held(limit: Limit, action: Action) -> Action:
    """What happens, to that limit."""
    limits = action.get("limits", [])
    if "pool" not in action or any(each is limit for each in limits):
        return action
    return {**action, "limits": [*limits, limit]}


def _asked(conditions: Conditions, words: Sequence[str]) -> _Asked | None:
    terms = [term for group in conditions.terms(words) for term in group]
    rates = [(term, found) for term in terms if (found := _RATE.fullmatch(term[1][0]))]
    if not rates:
        return None
    if len(terms) > 1 or terms[0][0]:
        raise InexpressibleError("a rate is a condition by itself alone")
    [((_, term), found)] = rates
    if len(term) != 3 or term[1] not in ("gt", "ge") or not term[2].isdecimal():
        raise InexpressibleError("a rate is compared by `gt` and a number")
    most = int(term[2]) - (term[1] == "ge")
    if most < 1:
        raise InexpressibleError("it refuses everybody")
    arguments = [each.strip() for each in (found[3] or "").split(",") if each.strip()]
    counter = found[1] or ""
    if not counter and not found[2]:  # sc_http_req_rate(0)
        counter = arguments.pop(0) if arguments else "0"
    return _Asked(counter, arguments[0] if arguments else "", most)


def _window(stick: Line) -> float:
    found = re.search(r"http_req_rate\((\w+)\)", stick.text)
    if found is None:
        raise InexpressibleError("its stick-table does not count requests")
    if stick.after("type") not in ("ip", "ipv6"):
        raise InexpressibleError("its stick-table is not by address")
    return seconds(found[1])
