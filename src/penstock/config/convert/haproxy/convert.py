"""A whole haproxy.cfg."""

from pathlib import Path
from typing import Any, Final

from penstock.config.convert.conditions import InexpressibleError, Match, Rules, within
from penstock.config.convert.haproxy.acls import Conditions
from penstock.config.convert.haproxy.backends import pool_of
from penstock.config.convert.haproxy.listening import (
    Bound,
    bound_listeners,
    guard_connections,
    mode_of,
)
from penstock.config.convert.haproxy.rates import Rates
from penstock.config.convert.haproxy.reader import Section, read
from penstock.config.convert.haproxy.routing import Routing
from penstock.config.convert.haproxy.told import Told, is_access
from penstock.config.convert.haproxy.users import UserLists
from penstock.config.convert.outcome import Outcome

# They define what others use; what uses it is told.
_APART: Final = frozenset(("peers", "resolvers", "mailers", "ring", "cache", "traces", "userlist"))


def convert_haproxy(file: Path) -> Outcome:
    """Ours, and what was left out. Raises OSError, UnicodeDecodeError, ValueError."""
    sections = read(file)
    outcome = Outcome(file.name, interpolates=True)
    conversion = _Conversion(sections, file.absolute().parent, Told(outcome))
    conversion.convert()
    document = outcome.document
    document["listeners"] = conversion.listeners
    if conversion.routes:
        document["routes"] = conversion.routes
    if conversion.pools:
        document["pools"] = conversion.pools
    outcome.left_out.sort(key=lambda each: each.line)
    return outcome


class _Conversion:
    def __init__(self, sections: list[Section], directory: Path, told: Told) -> None:
        self._sections = sections
        self._directory = directory
        self._told = told
        self._users = UserLists(told.outcome, sections)
        self._rates = Rates(told, sections)
        self.listeners: dict[str, Any] = {}
        self.routes: list[dict[str, Any]] = []
        self.pools: dict[str, Any] = {}
        self._backends = {
            each.name: each for each in sections if each.kind in ("backend", "listen")
        }
        # The beginning of a path says who may pass: then it is compared as HAProxy does.
        self._exact = any(is_access(line) for each in sections for line in each.lines)

    def convert(self) -> None:
        for section in self._sections:
            if section.kind in ("frontend", "listen"):
                self._front(section)
        self._bound_by_process()
        self._rates.settle(self.routes, self.pools)
        for section in self._sections:
            if self._rates.used(section):
                continue
            if section.kind == "backend" and section.name not in self.pools:
                self._told.leave(section.line, "no frontend that was converted leads there")
                for line in section.lines:
                    self._told.take(line)
            if section.kind in _APART:
                self._told.leave(section.line, "what uses it is told", "needless")
            else:
                self._told.tell_rest(section)

    def _front(self, section: Section) -> None:
        mode = mode_of(self._told, section)
        if self._is_statistics(section):
            return
        bound = bound_listeners(self._told, section, self.listeners, mode)
        guard_connections(self._told, section, bound, self._directory)
        if mode == "tcp":
            self._relayed(section, bound)
            return
        everywhere = [each.as_asked() for each in bound]
        routing = Routing(
            self._told, everywhere, self._directory, self._exact, self._users, self._rates
        )
        own: Rules | None = (
            [({}, {"pool": section.name})] if section.of("server", "server-template") else None
        )
        try:
            rules = routing.rules(section, self._backends, own)
        except InexpressibleError as error:
            self._told.leave(section.line, str(error))
            rules = [({}, {"respond": 503})]
        match: Match = {"listeners": [each.name for each in bound]}
        fronts = [each for each in self._sections if each.kind in ("frontend", "listen")]
        for own_match, action in within(match, rules) if len(fronts) > 1 else rules:
            self._use(action.get("pool"), "http")
            self.routes.append({"match": own_match, **action} if own_match else dict(action))

    def _bound_by_process(self) -> None:
        """A whole process's `maxconn`, for each listener that has none of its own."""
        for section in self._sections:
            for line in self._told.lines(section, "maxconn") if section.kind == "global" else ():
                for made in self.listeners.values():
                    made.setdefault("limits", {}).setdefault("connections", int(line.args[1]))

    def _is_statistics(self, section: Section) -> bool:
        """A page of its own, which `penstock ctl status` and the metrics stand for."""
        leads = section.of("default_backend", "use_backend", "server", "server-template")
        if leads or not section.of("stats"):
            return False
        self._told.leave(
            section.line, "`penstock ctl status`, and metrics at the admin address", "part"
        )
        for line in section.lines:
            self._told.take(line)
        return True

    def _use(self, name: str | None, mode: str) -> None:
        if name is not None and name not in self.pools:
            self.pools[name] = pool_of(self._told, self._backends[name], mode)

    def _relayed(self, section: Section, bound: list[Bound]) -> None:
        """Connections that are not read, or by the server name that they ask for alone."""
        default = self._told.nearest(section, "default_backend")
        name = default.args[1] if default is not None else section.name
        by_name: list[tuple[list[str], str]] = []
        conditions = Conditions(
            section.lines, [each.as_asked() for each in bound], self._directory, True
        )
        for line in section.of("use_backend"):
            try:
                alternatives = conditions.of(line.args[2:])
                for each in alternatives:
                    if set(each.match) != {"server_names"} or each.without:
                        raise InexpressibleError("connections are routed by server name alone")
                if line.args[1] not in self._backends:
                    raise InexpressibleError("the backend's name is computed")
            except InexpressibleError as error:
                self._told.leave(line, str(error))
                continue
            self._told.take(line)
            by_name += [(each.match["server_names"], line.args[1]) for each in alternatives]
        known = name in self._backends
        if not by_name:
            for front in bound:
                if known:
                    front.made["pool"] = name
            if known:
                self._use(name, "tcp")
            return
        on = [front.name for front in bound]
        for front in bound:
            front.made["protocol"] = "tls-passthrough"
        for names, backend in by_name:
            self._use(backend, "tcp")
            self.routes.append({"match": {"listeners": on, "server_names": names}, "pool": backend})
        if known:
            self._use(name, "tcp")
            self.routes.append({"match": {"listeners": on}, "pool": name})
