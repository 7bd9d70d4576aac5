"""What configurations come to: values that a supervisor runs by.

Apart from what makes them, so that whoever only takes them imports no model of a document, which
costs more than all the rest of a start.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

from penstock.config.document.defaults import DEFAULT_UPGRADE_DEADLINE_S
from penstock.core import snapshot
from penstock.core.snapshot.address import shown_address


@dataclass(frozen=True)
class AdminSettings:
    """The admin address; ``host`` is None where there is none, ``unix:/path`` for a socket file.

    ``certificate`` and ``key`` are files; empty: plain HTTP is spoken.
    """

    host: str | None
    port: int
    token: str | None
    read_token: str | None = None
    certificate: str = ""
    key: str = ""


@dataclass(frozen=True)
class StoreSettings:
    """``places`` are servers, Sentinels, or nodes of a cluster."""

    kind: str  # server, sentinel or cluster
    places: tuple[tuple[str, int], ...]
    tls: bool = False
    database: int = 0
    master: str = ""  # the name that Sentinels know it by
    cluster: str = "main"
    username: str = ""
    password: str = field(default="", repr=False)
    ca_file: str = ""
    certificate: str = ""
    key: str = ""
    limits_when_gone: Literal["share", "refuse"] = "share"
    secrets: tuple[str, ...] = field(default=(), repr=False)  # the first encrypts, all decrypt
    tenants: bool = False  # files of the directory of tenants are the same at all balancers

    @property
    def shown(self) -> str:
        """Where it is, for people, without its secrets."""
        where = ", ".join(shown_address(*place) for place in self.places)
        return f"{self.master} by {where}" if self.master else where


class Addition(msgspec.Struct):
    """A pool or a route, and what is said of it, as a configuration would say it."""

    name: str
    settings: dict[str, Any]


@dataclass(frozen=True)
class Configured:
    """A configuration that can run. ``source`` is None where it came from a command line.

    ``warnings`` are for people: what in it is hardly meant so.
    """

    snapshot: snapshot.Snapshot
    workers: int
    admin: AdminSettings
    shutdown_deadline_s: float
    source: Path | None
    warnings: tuple[str, ...] = ()
    upgrade_deadline_s: float = DEFAULT_UPGRADE_DEADLINE_S
    state: Path | None = None  # the directory that the configuration names
    own_routes: int = 0  # routes at the front, of listeners that name their pool
    store: StoreSettings | None = None  # that it shares with other balancers
