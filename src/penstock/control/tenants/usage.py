"""What tenants used, by day: told by workers, kept in the state directory.

Each supervisor has a file of its own for each day, so that two versions, while one takes over from
the other, do not write each other's.
"""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from time import time
from typing import Final

import msgspec

from penstock.admin.view import UsedView
from penstock.control.store.files import StateFiles

_SAVE_S: Final = 10.0
_REREAD_S: Final = 300.0
_KEPT_DAYS: Final = 400
_MOST_ROWS: Final = 50_000  # of a day; what is beyond is told as of OTHERS
_FILE: Final = "usage."
_VERSION: Final = 1
MOST_TENANTS: Final = 100  # that metrics tell apart
OTHERS: Final = "(others)"
_Key = tuple[str, str, str]


class UsageRow(msgspec.Struct):
    """Of one day, tenant, key and model."""

    day: str
    tenant: str
    key: str
    model: str
    requests: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0

    def add(self, other: "UsageRow") -> None:
        """Its counts too."""
        self.requests += other.requests
        self.prompt_tokens += other.prompt_tokens
        self.cached_tokens += other.cached_tokens
        self.output_tokens += other.output_tokens
        self.cost += other.cost


class Usage:
    """``rows`` are of the days that are kept."""

    def __init__(self, files: StateFiles, wall_clock: Callable[[], float] = time) -> None:
        self._files = files
        self._own = secrets.token_hex(4)
        self._wall_clock = wall_clock
        self._day = ""
        self._today: dict[_Key, UsageRow] = {}
        self._by_tenant: dict[str, UsageRow] = {}  # sums of today's
        self._since_start: dict[str, UsageRow] = {}
        self._others: list[UsageRow] | None = None  # today's of other supervisors, when read
        self._others_until = 0.0
        self._changed = False

    def take(self, rows: Sequence[Sequence[object]]) -> None:
        """What a worker counted."""
        self._turn()
        for told in msgspec.convert(rows, list[tuple[str, str, str, int, int, int, int, float]]):
            tenant, key, model, *counts = told
            used = UsageRow(self._day, tenant, key, model, *counts)  # type: ignore[arg-type]
            _add(self._by_tenant, used)
            self._add_since_start(used)
            known = self._today.get((tenant, key, model))
            if known is None and len(self._today) >= _MOST_ROWS:
                used.model = OTHERS
                known = self._today.get((tenant, key, OTHERS))
            if known is None:
                self._today[(tenant, key, used.model)] = used
            else:
                known.add(used)
        self._changed = True

    def _add_since_start(self, used: UsageRow) -> None:
        since = self._since_start
        if used.tenant not in since and len(since) >= _MOST_ROWS:
            used = msgspec.structs.replace(used, tenant=OTHERS)
        _add(since, used)

    def today(self) -> dict[str, UsageRow]:
        """Of today, by tenant, over all keys and models.

        What other supervisors used and wrote down is read every few minutes.
        """
        self._turn()
        now = self._wall_clock()
        if self._others is None or now >= self._others_until:
            self._others = self._read(self._day)
            self._others_until = now + _REREAD_S
        found: dict[str, UsageRow] = {}
        for row in (*self._by_tenant.values(), *self._others):
            _add(found, row)
        return found

    def used(self, tenants: Sequence[str]) -> tuple[UsedView, ...]:
        """Since the start, by tenant, in their order; all further ones, and those that are
        configured no longer, are one."""
        if not tenants:
            return ()
        told = dict.fromkeys(tenants[:MOST_TENANTS])
        others = UsageRow("", OTHERS, "", "")
        for name, row in self._since_start.items():
            if name not in told:
                others.add(row)
        rows = [self._since_start.get(name) or UsageRow("", name, "", "") for name in told]
        if others.requests or len(tenants) > MOST_TENANTS:
            rows.append(others)
        return tuple(
            UsedView(
                row.tenant, row.requests, row.prompt_tokens, row.cached_tokens, row.output_tokens
            )
            for row in rows
        )

    def rows(self, days: int) -> list[UsageRow]:
        """Of the last so many days, today included, the newest first."""
        self._turn()
        found: list[UsageRow] = []
        today = date.fromisoformat(self._day)
        for back in range(min(days, _KEPT_DAYS)):
            day = (today - timedelta(days=back)).isoformat()
            found += self._read(day)
            if back == 0:
                found += self._today.values()
        return found

    @property
    def _file(self) -> str:
        return f"{_FILE}{self._day}.{self._own}"

    async def run(self) -> None:
        """Save what changed, now and then."""
        while True:
            await asyncio.sleep(_SAVE_S)
            if self._changed:
                self._changed = False
                rows = [msgspec.structs.replace(row) for row in self._today.values()]
                await asyncio.to_thread(self._files.write, self._file, _VERSION, rows)

    def save(self) -> None:
        """At the end."""
        if self._changed:
            self._changed = False
            self._files.write(self._file, _VERSION, list(self._today.values()))

    def _turn(self) -> None:
        """Begin a day."""
        day = datetime.fromtimestamp(self._wall_clock(), UTC).date()
        if day.isoformat() == self._day:
            return
        self.save()
        self._day = day.isoformat()
        self._today = {}
        self._by_tenant = {}
        self._others = None
        oldest = _FILE + (day - timedelta(days=_KEPT_DAYS)).isoformat()
        for name in self._files.names():
            if name.startswith(_FILE) and name < oldest:
                self._files.remove(name)

    def _read(self, day: str) -> list[UsageRow]:
        """Of other supervisors, and of this one on days that are over."""
        found: list[UsageRow] = []
        for name in self._files.names():
            today = name == self._file and day == self._day
            if name.startswith(_FILE + day) and not today:
                found += self._files.read(name, _VERSION, list[UsageRow]) or []
        return found


def _add(sums: dict[str, UsageRow], row: UsageRow) -> None:
    known = sums.get(row.tenant)
    if known is None:
        known = sums[row.tenant] = UsageRow(row.day, row.tenant, "", "")
    known.add(row)
