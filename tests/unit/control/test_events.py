"""Events: one line each, as text or JSON, and a bounded history."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from penstock.control.events import FORMAT_VARIABLE, Events, configure_logging
from tests.unit.control.conftest import Clock


@pytest.fixture(autouse=True)
def _logger_restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers = list(root.handlers)
    yield
    root.handlers[:] = handlers


def written(monkeypatch: pytest.MonkeyPatch, form: str, events: Events) -> str:
    monkeypatch.setenv(FORMAT_VARIABLE, form)
    stream = io.StringIO()
    configure_logging(stream)
    events.warning("endpoint.down", "endpoint a/b is down: »no«", pool="a", endpoint="b")
    return stream.getvalue()


def test_text_for_people(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    line = written(monkeypatch, "text", Events(clock))
    assert line == "1970-01-01T00:16:40.000Z warning endpoint a/b is down: »no«\n"


def test_json_for_programs(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    line = written(monkeypatch, "json", Events(clock))
    assert line.count("\n") == 1
    assert json.loads(line) == {
        "time": "1970-01-01T00:16:40.000Z",
        "level": "warning",
        "event": "endpoint.down",
        "message": "endpoint a/b is down: »no«",
        "pool": "a",
        "endpoint": "b",
    }


def test_a_pipe_gets_json_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FORMAT_VARIABLE, raising=False)
    stream = io.StringIO()
    configure_logging(stream)
    Events().info("started", "started")
    assert json.loads(stream.getvalue())["event"] == "started"


def test_a_bug_is_logged_with_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FORMAT_VARIABLE, "json")
    stream = io.StringIO()
    configure_logging(stream)
    try:
        raise KeyError("missing")
    except KeyError as error:
        Events().bug("checking a/b", error)
    said = json.loads(stream.getvalue())
    assert said["message"] == "checking a/b: KeyError('missing')"
    assert "test_events.py" in said["traceback"]


def test_what_libraries_say_has_the_same_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FORMAT_VARIABLE, "json")
    stream = io.StringIO()
    configure_logging(stream)
    logging.getLogger("asyncio").error("Task exception was never retrieved")
    said = json.loads(stream.getvalue())
    assert (said["event"], said["level"]) == ("asyncio", "error")


def test_the_history_is_bounded_and_ends_with_the_newest(clock: Clock) -> None:
    events = Events(clock, kept=3)
    for number in range(5):
        events.info("count", str(number))
    assert [event.message for event in events.recent(10)] == ["2", "3", "4"]
    assert [event.message for event in events.recent(2)] == ["3", "4"]
