"""A policy that does as another does, and writes down what it was asked and told.

Named in snapshots as ``tests.harness.recording:Recording``; it runs in the worker's process.
"""

import json
from dataclasses import dataclass, field
from math import nextafter
from pathlib import Path
from typing import Any, ClassVar

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.policy import Option, Policy, create
from penstock.core.request import Request
from penstock.core.snapshot import PolicyChoice
from penstock.core.ticket import Ticket
from tests.harness.waiting import wait_until

_PICK = '"kind": "pick"'
_END = '"kind": "end"'


class Recording(Policy):
    """One line of JSON for each pick, each end of a ticket, and each change of the endpoints."""

    key: ClassVar[str] = "configured"
    observes: ClassVar[bool] = True
    options: ClassVar[tuple[Option, ...]] = (
        Option("policy", "round-robin", "who picks"),
        Option("settings", "{}", "its options, as JSON"),
        Option("seed", 1, "of the chance that it draws from"),
        Option("file", "", "where to write"),
    )

    def __init__(self, policy: str, settings: str, seed: int, file: str) -> None:
        self._inner = create(policy, json.loads(settings))
        self._seed = seed
        self._file = Path(file).open("a", encoding="utf-8", buffering=1)  # noqa: SIM115
        self._members: list[Endpoint] = []
        self._numbers: dict[Ticket, int] = {}
        self._picks = 0

    def replace_members(self, endpoints: list[Endpoint]) -> None:
        self._members = endpoints
        self._inner.replace_members(endpoints)

    def rebuild(self, endpoints: list[Endpoint]) -> None:
        self._write(kind="endpoints", endpoints=[_state(member) for member in self._members])
        self._inner.rebuild(endpoints)

    def pick(self, request: Request, eligible: list[Endpoint], env: Env) -> Endpoint | None:
        if self._picks == 0:
            env.rng.seed(self._seed)
        self._picks += 1
        chosen = self._inner.pick(request, eligible, env)
        name = chosen.name if chosen is not None else ""
        self._write(kind="pick", at=env.now, key_hash=request.key_hash, endpoint=name)
        return chosen

    def on_start(self, ticket: Ticket) -> None:
        self._numbers[ticket] = self._picks - 1
        if self._inner.observes:
            self._inner.on_start(ticket)

    def on_first_byte(self, ticket: Ticket) -> None:
        if self._inner.observes:
            self._inner.on_first_byte(ticket)

    def on_end(self, ticket: Ticket) -> None:
        self._write(kind="end", at=ticket.settled_at, pick=self._numbers.pop(ticket))
        if self._inner.observes:
            self._inner.on_end(ticket)

    def _write(self, **line: object) -> None:
        self._file.write(json.dumps(line) + "\n")


def _state(endpoint: Endpoint) -> dict[str, object]:
    return {
        "name": endpoint.name,
        "weight": endpoint.weight,
        "health": endpoint.health,
        "draining": endpoint.draining,
    }


def recorded(policy: str, settings: dict[str, Any], seed: int, file: Path) -> PolicyChoice:
    """What a snapshot says to have ``policy`` recorded in ``file``."""
    name = f"{Recording.__module__}:{Recording.__name__}"
    options: dict[str, int | float | str | bool] = {
        "policy": policy,
        "settings": json.dumps(settings),
        "seed": seed,
        "file": str(file),
    }
    return PolicyChoice(name, options)


@dataclass(frozen=True)
class State:
    """An endpoint at a time."""

    name: str
    weight: float
    health: int
    draining: bool


@dataclass
class Arrival:
    """A request: when it was picked for, by what it was hashed, and how long it was served."""

    at_s: float
    key_hash: int
    endpoint: str
    service_s: float = 0.0


@dataclass
class Record:
    """A run. Times are those of the worker's monotonic clock."""

    arrivals: list[Arrival] = field(default_factory=list)
    changes: list[tuple[float, list[State]]] = field(default_factory=list)  # the first: the start


def read_record(file: Path) -> Record:
    """The record of a run in which every request was answered.

    Waits for the end of each: a client may have its answer before the worker has settled it.
    """
    wait_until(lambda: _is_whole(file), "every request of the record was settled")
    record = Record()
    unseen: list[list[State]] = []
    for text in file.read_text("utf-8").splitlines():
        line = json.loads(text)
        if line["kind"] == "endpoints":
            unseen.append([State(**state) for state in line["endpoints"]])
        elif line["kind"] == "pick":
            # A worker looks at the board before it serves what came: the pick is the next thing.
            record.changes += [(nextafter(line["at"], 0.0), states) for states in unseen]
            unseen = []
            record.arrivals.append(Arrival(line["at"], line["key_hash"], line["endpoint"]))
        else:
            arrival = record.arrivals[line["pick"]]
            arrival.service_s = line["at"] - arrival.at_s
    return record


def _is_whole(file: Path) -> bool:
    text = file.read_text("utf-8")
    return text.endswith("\n") and text.count(_PICK) == text.count(_END)
