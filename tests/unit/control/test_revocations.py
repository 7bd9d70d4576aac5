"""Revocation lists are told of days before they end, once, and when they have ended."""

from datetime import timedelta
from pathlib import Path

import pytest
import trustme
from msgspec.structs import replace

from penstock.control.events import Events
from penstock.control.world.revocations import RevocationLists
from penstock.core.snapshot import ListenerTls, Snapshot
from penstock.wire.crl import end_of
from tests.scenario.certificates import write_revocations
from tests.unit.control.worlds import listener, world

DAY_S = 86400.0


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "crl.pem"
    write_revocations(trustme.CA(), made, ends_in=timedelta(days=30))
    return made


def with_list(file: Path) -> Snapshot:
    tls = ListenerTls(client_ca_file="ca.pem", crl_file=str(file))
    return world(listeners=[listener("plain"), replace(listener("secure"), tls=tls)])


def test_it_is_told_a_week_ahead_and_at_the_end_once_each(file: Path) -> None:
    clock = Clock()
    events = Events(clock)
    lists = RevocationLists(events, clock)
    end = end_of(file.read_bytes())
    told: list[list[str]] = []
    for days_left in (8.0, 7.0, 6.0, 0.5, 0.0, -1.0):
        clock.now = end - days_left * DAY_S
        if not told:
            lists.configure(with_list(file))
        lists.look()
        told.append([event.kind for event in events.recent(10)])
    assert told[0] == []
    assert told[1] == told[3] == ["crl.ends"]
    assert told[4] == told[5] == ["crl.ends", "crl.ended"]
    ends, ended = events.recent(10)
    assert (ends.level, ended.level) == ("warning", "error")
    assert str(file) in ends.message
    assert "in 7.0 days" in ends.message
    assert ends.fields == {"listener": "secure"}
    assert lists.ends == {"secure": end}


def test_a_newer_list_is_another(file: Path) -> None:
    clock = Clock()
    events = Events(clock)
    lists = RevocationLists(events, clock)
    clock.now = end_of(file.read_bytes()) - DAY_S
    lists.configure(with_list(file))
    write_revocations(trustme.CA(), file, ends_in=timedelta(days=60))
    lists.configure(with_list(file))
    lists.look()
    assert [event.kind for event in events.recent(10)] == ["crl.ends"]
    lists.configure(world())
    assert lists.ends == {}
