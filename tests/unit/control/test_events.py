"""Events: one line each, as text or JSON, and a bounded history."""

import json
import logging
import os
import threading
from collections.abc import Iterator

import pytest

from penstock.control.events import FORMAT_VARIABLE, Events, configure_logging
from penstock.dataplane.record.line_writer import LineWriter
from tests.harness.waiting import PATIENCE_S, wait_until
from tests.unit.control.conftest import Clock


@pytest.fixture(autouse=True)
def _logger_restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers = list(root.handlers)
    yield
    root.handlers[:] = handlers


class Reader:
    """The reading end of a pipe that the log goes to."""

    def __init__(self) -> None:
        self._read, self.write = os.pipe()

    def all_of(self, writer: LineWriter) -> str:
        """What was logged, after the last of it."""
        writer.join(PATIENCE_S)
        os.close(self.write)
        return self.drained()

    def drained(self) -> str:
        """All that comes."""
        with os.fdopen(self._read, encoding="utf-8") as lines:
            return lines.read()


@pytest.fixture
def reader() -> Reader:
    return Reader()


def written(reader: Reader, monkeypatch: pytest.MonkeyPatch, form: str, events: Events) -> str:
    monkeypatch.setenv(FORMAT_VARIABLE, form)
    writer = configure_logging(reader.write)
    events.warning("endpoint.down", "endpoint a/b is down: »no«", pool="a", endpoint="b")
    return reader.all_of(writer)


def test_text_for_people(reader: Reader, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    line = written(reader, monkeypatch, "text", Events(clock))
    assert line == "1970-01-01T00:16:40.000Z warning endpoint a/b is down: »no«\n"


def test_json_for_programs(reader: Reader, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    line = written(reader, monkeypatch, "json", Events(clock))
    assert line.count("\n") == 1
    assert json.loads(line) == {
        "time": "1970-01-01T00:16:40.000Z",
        "level": "warning",
        "event": "endpoint.down",
        "message": "endpoint a/b is down: »no«",
        "pool": "a",
        "endpoint": "b",
    }


def test_a_pipe_gets_json_unless_told(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FORMAT_VARIABLE, raising=False)
    writer = configure_logging(reader.write)
    Events().info("started", "started")
    assert json.loads(reader.all_of(writer))["event"] == "started"


def test_a_bug_is_logged_with_its_traceback(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FORMAT_VARIABLE, "json")
    writer = configure_logging(reader.write)
    try:
        raise KeyError("missing")
    except KeyError as error:
        Events().bug("checking a/b", error)
    said = json.loads(reader.all_of(writer))
    assert said["message"] == "checking a/b: KeyError('missing')"
    assert "test_events.py" in said["traceback"]


def test_what_libraries_say_has_the_same_form(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FORMAT_VARIABLE, "json")
    writer = configure_logging(reader.write)
    logging.getLogger("asyncio").error("Task exception was never retrieved")
    said = json.loads(reader.all_of(writer))
    assert (said["event"], said["level"]) == ("asyncio", "error")


def test_the_history_is_bounded_and_ends_with_the_newest(clock: Clock) -> None:
    events = Events(clock, kept=3)
    for number in range(5):
        events.info("count", str(number))
    assert [event.message for event in events.recent(10)] == ["2", "3", "4"]
    assert [event.message for event in events.recent(2)] == ["3", "4"]


def test_a_reader_that_stalls_stops_nobody_and_is_told_what_it_missed(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FORMAT_VARIABLE, "json")
    writer = configure_logging(reader.write)
    events = Events()
    while writer.dropped < 10:
        events.info("noise", "x" * 3000)
    lost = writer.dropped
    said: list[str] = []
    reading = threading.Thread(target=lambda: said.append(reader.drained()))
    reading.start()
    wait_until(lambda: not writer.behind, "what waited was read")
    events.info("after", "after")
    writer.join(PATIENCE_S)
    os.close(reader.write)
    reading.join(PATIENCE_S)
    lines = [json.loads(line) for line in said[0].splitlines()]
    assert [line["event"] for line in lines[-2:]] == ["after", "log.resumed"]
    assert lines[-1]["lines"] == lost == writer.dropped
