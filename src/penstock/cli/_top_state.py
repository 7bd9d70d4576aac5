"""What `penstock top` knows of a balancer: the stream's sections, and what is shown of them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

from penstock._visible import all_visible

Object = dict[str, Any]
SECTIONS: Final = ("balancer", "pools", "endpoints", "workers", "tenants", "limits")
VIEWS: Final = ("endpoints", "pools", "decisions", "events", "workers", "tenants", "limits")
_KEPT_EVENTS: Final = 500
_POINTS: Final = 30  # of an endpoint's rate, a second apart
# What endpoints can be sorted by, in the order in which the key goes on; True: the most first.
SORTS: Final = (
    ("state", False),
    ("name", False),
    ("in_flight", True),
    ("queue", True),
    ("rate", True),
    ("errors", True),
    ("p99", True),
    ("kv", True),
    ("weight", True),
)
_STATES: Final = ("down", "ejected", "maintenance", "draining", "weightless", "starting", "up")


@dataclass
class TopState:
    """What was told, and what the person at the keyboard chose to see of it."""

    balancer: Object = field(default_factory=dict)
    pools: dict[str, Object] = field(default_factory=dict)
    endpoints: dict[str, Object] = field(default_factory=dict)
    workers: dict[str, Object] = field(default_factory=dict)
    tenants: dict[str, Object] = field(default_factory=dict)
    limits: dict[str, Object] = field(default_factory=dict)
    events: deque[Object] = field(default_factory=lambda: deque(maxlen=_KEPT_EVENTS))
    rates: dict[str, deque[float]] = field(default_factory=dict)
    decisions: list[Object] = field(default_factory=list)
    at: float = 0.0  # when that was so
    may_change: bool = False
    view: str = "endpoints"
    detail: bool = False  # of the endpoint or decision that is chosen
    sort: str = "state"
    reverse: bool = False
    filter: str = ""
    chosen: int = 0  # a row of what is shown
    chosen_key: str = ""  # of an endpoint, which it stays on while rows move

    def take(self, kind: str, told: Object) -> None:
        """A message of the stream. What others named is made visible first."""
        message = all_visible(told)
        if kind == "hello":
            self.may_change = message["may"] == "change"
            return
        if kind == "whole":
            for name in SECTIONS:
                setattr(self, name, {})
            self.events.clear()
        self.at = message["at"]
        for name in SECTIONS:
            self._take_section(name, message)
        self.events.extend(message.get("events", ()))
        for key in self.rates.keys() - self.endpoints.keys():
            del self.rates[key]
        for key, endpoint in self.endpoints.items():
            self.rates.setdefault(key, deque(maxlen=_POINTS)).append(endpoint["rate"])

    def _take_section(self, name: str, message: Object) -> None:
        if name == "balancer":
            self.balancer |= message.get(name, {}).get("", {})
            return
        section = getattr(self, name)
        for key, fields in message.get(name, {}).items():
            section.setdefault(key, {"key": key}).update(fields)
        for key in message.get("gone", {}).get(name, ()):
            section.pop(key, None)

    def shown_endpoints(self) -> list[Object]:
        """Those that the filter leaves, in the order chosen."""
        wanted = self.filter.lower()
        found = [each for each in self.endpoints.values() if wanted in _searched(each)]
        downwards = dict(SORTS)[self.sort] != self.reverse
        found.sort(key=lambda each: (each["pool"], each["name"]))
        found.sort(key=lambda each: _rank(each, self.sort), reverse=downwards)
        return found

    def shown_events(self) -> list[Object]:
        """Those that the filter leaves, the newest first."""
        wanted = self.filter.lower()
        return [e for e in reversed(self.events) if wanted in f"{e['kind']} {e['message']}".lower()]

    def shown_tenants(self) -> list[Object]:
        """Those that the filter leaves: the nearest to a limit first, then who asks most."""
        found = [each for each in self.tenants.values() if self._wanted(each["name"])]
        found.sort(key=lambda each: (-(each["fullest"] or 0.0), -each["requests"], each["name"]))
        return found

    def shown_limits(self) -> list[Object]:
        """Those that the filter leaves, the fullest first."""
        found = [each for each in self.limits.values() if self._wanted(each["name"])]
        found.sort(key=lambda each: (-share_of(each), -each["refused"], each["name"]))
        return found

    def _wanted(self, name: str) -> bool:
        return self.filter.lower() in name.lower()

    def rows(self) -> int:
        """How many rows the view has."""
        match self.view:
            case "endpoints":
                return len(self.shown_endpoints())
            case "decisions":
                return len(self.decisions)
            case "events":
                return len(self.shown_events())
            case "tenants":
                return len(self.shown_tenants())
            case "limits":
                return len(self.shown_limits())
        return len(getattr(self, self.view))

    def choose(self, row: int) -> None:
        """That row, or the nearest there is."""
        self.chosen = max(0, min(row, self.rows() - 1))
        shown = self.shown_endpoints() if self.view == "endpoints" else []
        self.chosen_key = shown[self.chosen]["key"] if shown else ""

    def settle(self) -> None:
        """The chosen endpoint stays chosen though rows moved."""
        if self.view != "endpoints":
            self.chosen = max(0, min(self.chosen, self.rows() - 1))
            return
        keys = [each["key"] for each in self.shown_endpoints()]
        if self.chosen_key in keys:
            self.chosen = keys.index(self.chosen_key)
        else:
            self.choose(self.chosen)

    def endpoint(self) -> Object | None:
        """The one that is chosen."""
        return self.endpoints.get(self.chosen_key) if self.view == "endpoints" else None


def share_of(limit: Object) -> float:
    """What is taken of its fullest allowance."""
    fullest = limit["fullest"]
    return fullest[0]["share"] if fullest else 0.0


def consequences(state: TopState, endpoint: Object) -> str:
    """What draining it does, in a line."""
    text = f"{endpoint['in_flight']} in flight finish"
    if not endpoint["available"]:
        return f"{text}; it is not picked at present ({endpoint['state']})"
    others = [
        each
        for each in state.endpoints.values()
        if each["pool"] == endpoint["pool"] and each is not endpoint and each["available"]
    ]
    if not others:
        return f"{text}; IT IS THE LAST of {endpoint['pool']}: clients will get 503"
    return f"{text}; {len(others)} others take its {endpoint['rate']:g} requests/s"


def _searched(endpoint: Object) -> str:
    texts = [endpoint[name] for name in ("pool", "name", "address", "zone", "state", "reason")]
    return " ".join([f"{endpoint['pool']}/{endpoint['name']}", *texts, *endpoint["models"]]).lower()


def _rank(endpoint: Object, sort: str) -> Any:
    if sort == "state":
        state = endpoint["state"]
        return _STATES.index(state) if state in _STATES else -1
    if sort == "name":
        return ""  # as they stand already
    value = endpoint["effective_weight"] if sort == "weight" else endpoint.get(sort)
    return -1.0 if value is None else value
