"""What ``ctl status`` says of endpoints: only what is not as it should be."""

from typing import Any

from penstock.cli._status_tables import endpoint_notes


def endpoint(
    engine: dict[str, Any] | None,
    doubt: float = 0.0,
    circuits_open: int = 0,
    agent: dict[str, str] | None = None,
    models_problem: str = "",
    length_repeated: int = 0,
) -> dict[str, Any]:
    return {
        "name": "e",
        "agent": agent,
        "engine": engine,
        "models_problem": models_problem,
        "circuits_open": circuits_open,
        "prefixes": {"doubt": doubt},
        "irregular": {"chunked_in_1_0": 0, "length_repeated": length_repeated},
    }


def test_a_silent_engine_is_told_with_the_reason() -> None:
    silent = endpoint({"silent": True, "problem": "/metrics answers 404"})
    assert endpoint_notes(silent) == ["tells no load, own counts are used: /metrics answers 404"]


def test_an_engine_that_does_not_say_what_it_serves_is_told_with_the_reason() -> None:
    mute = endpoint(None, models_problem="/v1/models answers 404")
    assert endpoint_notes(mute) == ["does not say which models it serves: /v1/models answers 404"]


def test_doubted_prefix_hits_are_told() -> None:
    assert endpoint_notes(endpoint(None, 0.75)) == [
        "finds less cached than predicted: 75% of hits are not believed"
    ]


def test_open_circuits_are_told() -> None:
    assert endpoint_notes(endpoint(None, circuits_open=2)) == [
        "has its circuit breaker open in 2 workers"
    ]


def test_irregular_framing_is_told_by_kind() -> None:
    assert endpoint_notes(endpoint(None, length_repeated=3)) == [
        "frames responses irregularly, which are passed on in order (length repeated: 3)"
    ]


def test_where_all_is_well_nothing_is_said() -> None:
    assert endpoint_notes(endpoint({"silent": False, "problem": ""})) == []
    assert endpoint_notes(endpoint(None)) == []


def test_what_an_agent_says_is_told_and_whether_it_can_be_asked() -> None:
    said = endpoint(None, agent={"said": "75%", "problem": ""})
    assert endpoint_notes(said) == ["its agent says: 75%"]
    silent = endpoint(None, agent={"said": "75%", "problem": "connection refused"})
    assert endpoint_notes(silent) == ["its agent says: 75%", "its agent: connection refused"]
