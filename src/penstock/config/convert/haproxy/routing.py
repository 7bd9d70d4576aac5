"""`frontend` and `backend`: what happens to requests, as routes."""

from functools import partial
from pathlib import Path
from typing import Any, Final

from penstock.config.convert.conditions import (
    Alternative,
    InexpressibleError,
    Match,
    Rules,
    changed_where,
    placed_before,
    reachable,
    within,
)
from penstock.config.convert.haproxy.acls import Conditions, Listener
from penstock.config.convert.haproxy.actions import change, redirect, returned, rewritten
from penstock.config.convert.haproxy.rates import Rates, held
from penstock.config.convert.haproxy.reader import Line, Section, split_condition
from penstock.config.convert.haproxy.told import Told, is_access
from penstock.config.convert.haproxy.users import UserLists, asked
from penstock.config.convert.outcome import Kind

_DENY: Final = ("deny", "reject", "tarpit", "silent-drop")


class Routing:
    """The rules of a frontend, and of the backends that it leads to."""

    def __init__(
        self,
        told: Told,
        listeners: list[Listener],
        directory: Path,
        exact: bool,
        users: UserLists,
        rates: Rates,
    ) -> None:
        self._told = told
        self._users = users
        self._rates = rates
        self._listeners = listeners
        self._directory = directory
        self._exact = exact

    def rules(self, section: Section, ends: dict[str, Section], own: Rules | None) -> Rules:
        """What happens to requests; ``own`` where the section has servers itself."""
        conditions = self._conditions(section)
        rules: Rules = own if own is not None else [({}, {"respond": 503})]
        default = self._told.nearest(section, "default_backend")
        if default is not None:
            rules = self._to(default.args[1], ends)
        for line in reversed(section.of("use_backend")):
            rules = self._placed(line, conditions, line.args[2:], rules, ends)
        rules = self._requests(section, conditions, rules)
        return reachable(rules)

    def _conditions(self, section: Section) -> Conditions:
        return Conditions(section.lines, self._listeners, self._directory, self._exact)

    def _to(self, backend: str, ends: dict[str, Section]) -> Rules:
        """What its own rules say of what is sent to it."""
        if backend not in ends:
            raise InexpressibleError(f"there is no backend {backend!r} by a fixed name")
        section = ends[backend]
        return self._requests(section, self._conditions(section), [({}, {"pool": backend})])

    def _placed(
        self,
        line: Line,
        conditions: Conditions,
        words: tuple[str, ...],
        rules: Rules,
        ends: dict[str, Section],
    ) -> Rules:
        try:
            target = self._to(line.args[1], ends)
            alternatives = conditions.of(words)
            made = rules
            for match, action in reversed(target):
                made = placed_before(_narrowed(alternatives, match), action, made)
        except InexpressibleError as error:
            guards = (
                any(is_access(each) for each in ends[line.args[1]].lines)
                if (line.args[1] in ends)
                else False
            )
            kind: Kind = "access" if guards else "part"
            self._told.leave(line, f"{error}; such requests go on to the next rule", kind)
            return rules
        self._told.take(line)
        return made

    def _requests(self, section: Section, conditions: Conditions, rules: Rules) -> Rules:
        """`http-request`, `redirect` and `tcp-request`, before where the request goes."""
        routing = rules
        lines = [each for each in section.lines if each.keyword in ("http-request", "redirect")]
        # HAProxy looks at `redirect` after all of `http-request`.
        lines.sort(key=lambda each: each.keyword == "redirect")
        changes: dict[str, Any] = {}
        for line in reversed(lines):
            try:
                rules = self._request(section, line, conditions, rules, routing, changes)
            except InexpressibleError as error:
                self._told.leave(line, str(error))
        if changes:
            rules = [
                (match, {**action, "request_headers": changes} if "pool" in action else action)
                for match, action in rules
            ]
        return self._answers(section, rules)

    def _request(
        self,
        section: Section,
        line: Line,
        conditions: Conditions,
        rules: Rules,
        routing: Rules,
        changes: dict[str, Any],
    ) -> Rules:
        words, condition = split_condition(line.args)
        what = words[1]
        if line.keyword == "redirect" or what == "redirect":
            action = redirect(words)
        elif what.startswith("track-sc"):
            return rules  # taken by what goes by it
        elif what == "auth":
            alternatives, auth = self._users.asking(section, conditions, line)
            rules = changed_where(alternatives, partial(asked, auth), rules)
            self._told.take(line)
            return rules
        elif what in _DENY:
            limited = self._rates.limit(section, conditions, line)
            if limited is not None:
                return changed_where(limited[0], partial(held, limited[1]), rules)
            status = line.after("deny_status") or line.after("status")
            action = {"respond": int(status) if status else 403}
        elif what == "return":
            action = returned(words)
        elif what == "allow":
            for alternative in reversed(conditions.of(condition)):
                if alternative.without:
                    raise InexpressibleError("`allow` with a negation has no counterpart")
                rules = [*within(alternative.match, routing), *rules]
            self._told.take(line)
            return rules
        elif what in ("set-header", "add-header", "del-header"):
            change(words, condition, changes)
            self._told.take(line)
            return rules
        elif what in ("set-path", "replace-path", "set-uri", "replace-uri"):
            rules = rewritten(words, conditions.of(condition), rules)
            self._told.take(line)
            return rules
        else:
            raise InexpressibleError("it has no counterpart")
        rules = placed_before(conditions.of(condition), action, rules)
        self._told.take(line)
        return rules

    def _answers(self, section: Section, rules: Rules) -> Rules:
        """`http-response` with headers."""
        changes: dict[str, Any] = {}
        for line in section.of("http-response"):
            words, condition = split_condition(line.args)
            try:
                if words[1] not in ("set-header", "add-header", "del-header"):
                    raise InexpressibleError("it has no counterpart")
                change(words, condition, changes)
                self._told.take(line)
            except InexpressibleError as error:
                self._told.leave(line, str(error))
        if not changes:
            return rules
        return [
            (match, {**action, "response_headers": changes} if "pool" in action else action)
            for match, action in rules
        ]


def _narrowed(alternatives: list[Alternative], match: Match) -> list[Alternative]:
    if not match:
        return alternatives
    made = (
        [Alternative(both, each.without) for both, _ in within(each.match, [(match, {})])]
        for each in alternatives
    )
    return [each for one in made for each in one]
