"""What ``ctl status`` says of endpoints: only what is not as it should be."""

import io
import time
from typing import Any

import pytest
from rich.console import Console

from penstock.cli._durations import spell_duration
from penstock.cli._status_tables import endpoint_notes, print_status


def endpoint(
    engine: dict[str, Any] | None,
    hit_distrust: float = 0.0,
    circuits_open: int = 0,
    agent: dict[str, str] | None = None,
    models_problem: str = "",
    length_repeated: int = 0,
) -> dict[str, Any]:
    return {
        "name": "e",
        "addresses": [],
        "source": "file",
        "connected_to": None,
        "agent": agent,
        "engine": engine,
        "models_problem": models_problem,
        "circuits_open": circuits_open,
        "prefixes": {"hit_distrust": hit_distrust},
        "irregular": {"chunked_in_http10": 0, "length_repeated": length_repeated},
    }


def test_a_silent_engine_is_told_with_the_reason() -> None:
    silent = endpoint({"silent": True, "problem": "/metrics answers 404"})
    assert endpoint_notes(silent) == [
        "does not report its load (using own counts): /metrics answers 404"
    ]


def test_an_engine_that_does_not_say_what_it_serves_is_told_with_the_reason() -> None:
    mute = endpoint(None, models_problem="/v1/models answers 404")
    assert endpoint_notes(mute) == ["does not list its models: /v1/models answers 404"]


def test_doubted_prefix_hits_are_told() -> None:
    assert endpoint_notes(endpoint(None, 0.75)) == [
        "has fewer cache hits than predicted: 75% of predicted hits are ignored"
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


@pytest.mark.parametrize(
    ("seconds", "spelled"),
    [
        (None, "–"),
        (0.00042, "0.42 ms"),
        (0.0125, "12.5 ms"),
        (0.341, "341 ms"),
        (0.9996, "1.00 s"),
        (3.41, "3.41 s"),
        (34.1, "34.1 s"),
        (119.0, "119 s"),
        (300.0, "5 min"),
        (-0.1, "-100 ms"),
    ],
)
def test_durations_have_three_digits_and_the_unit_that_fits(
    seconds: float | None, spelled: str
) -> None:
    assert spell_duration(seconds) == spelled


def status(kind: str) -> dict[str, Any]:
    quantiles = {"p50": 3.41, "p90": 4.0, "p99": 12.0}
    served = {
        "state": "up",
        "backup": False,
        "effective_weight": 1.0,
        "in_flight": 112,
        "requests": 1_234_567,
        "requests_per_s": 1234.5,
        "responses": {"5xx": 17},
        "failures": {"blamed": 17},
        "latency": {"first_byte_mean": 0.125, "total_mean": 34.1},
    }
    serving = {
        "first_token": quantiles,
        "token": {"p50": 0.02, "p90": 0.03, "p99": 0.05},
        "prompt_tokens_per_s": 12_345.6,
        "output_tokens_per_s": 789.0,
        "cached_share": 0.876,
    }
    pool = {
        "name": "main",
        "maintenance_since": None,
        "discovery": [],
        "excluded": [],
        "scale": None,
        "policy": "marginal-cost" if kind == "llm" else "least-request",
        "retries": 3,
        "no_endpoint": 0,
        "requests_per_s": 42.5,
        "latency": {"total": quantiles},
        "serving": serving if kind == "llm" else None,
        "admission": {"refused": {}, "limit": 0.0, "queued": 0, "waiting": 0},
        "endpoints": [
            {**endpoint(None), "name": f"127.0.0.1:1900{number}", **served}
            | {"prefixes": {"hit_distrust": 0.0, "cached_share": 0.91}}
            for number in (1, 2)
        ],
    }
    return {
        "version": "1",
        "form": "compiled",
        "ready": True,
        "unready_reasons": [],
        "listeners": [{"address": "127.0.0.1:8080", "scheme": "http"}],
        "totals": {"connections": 1, "sessions": 0, "requests": 2},
        "started_at": time.time(),
        "generation": 1,
        "window_s": 55.0,
        "pools": [pool],
        "workers": [],
        "reloads": {"last": None},
    }


def printed(document: dict[str, Any], width: int) -> list[str]:
    console = Console(
        file=io.StringIO(), width=width, force_terminal=True, color_system=None, highlight=False
    )
    print_status(document, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("kind", ["http", "llm"])
def test_the_status_fits_80_columns_and_names_its_window(kind: str) -> None:
    lines = printed(status(kind), 80)
    assert max(len(line) for line in lines) <= 80
    assert not any("…" in line for line in lines)
    [window] = [line for line in lines if line.startswith("last 55 s: ")]
    assert "42.5 requests/s, p50 3.41 s, p99 12.0 s" in window


def test_a_row_has_the_latency_of_its_endpoint() -> None:
    [row, _] = [line.split() for line in printed(status("http"), 80) if line.startswith("127.")]
    assert row[-4:] == ["125", "ms", "34.1", "s"]


def test_pools_of_language_models_show_tokens_hit_rate_and_time_to_first_token() -> None:
    lines = printed(status("llm"), 80)
    text = "\n".join(lines)
    assert "first token p50 3.41 s, p99 12.0 s; per token p50 20.0 ms, p99 50.0 ms" in text
    assert "tokens/s: prompts 12,346, answers 789; prompt tokens found cached: 88%" in text
    [row, _] = [line.split() for line in lines if line.startswith("127.")]
    assert row[-3:] == ["125", "ms", "91%"]


def test_weights_are_shown_where_they_differ() -> None:
    document = status("http")
    assert not any("weight" in line for line in printed(document, 80))
    document["pools"][0]["endpoints"][0]["effective_weight"] = 0.25
    assert any("0.25" in line for line in printed(document, 100))


def test_providers_and_what_operators_said_are_shown() -> None:
    document = status("http")
    [pool] = document["pools"]
    pool["discovery"] = [
        {
            "shown": "dns app.internal",
            "state": "held",
            "reason": "it answers with no endpoint; the 2 known before are used",
            "endpoints": 2,
            "answered_at": time.time() - 30,
        }
    ]
    pool["excluded"] = ["10.0.0.9:80"]
    pool["endpoints"][1]["source"] = "api"
    told = "\n".join(printed(document, 160))
    assert "dns app.internal held, 2 endpoints, answered 30s ago: it answers with no" in told
    assert "kept away by operators (ctl endpoint remove): 10.0.0.9:80" in told
    assert "127.0.0.1:19002 (api)" in told
