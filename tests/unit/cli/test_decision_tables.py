"""Records of decisions as people read them."""

import io

from rich.console import Console

from penstock.cli._decision_tables import (
    Record,
    print_decisions,
    print_explanation,
    print_shadows,
)


def record() -> Record:
    return {
        "id": "abc",
        "time": 1_700_000_000.0,
        "pool": "main",
        "policy": "scored",
        "attempt": 1,
        "by": "policy",
        "picked": "b",
        "left_out": 3,
        "request": {
            "method": "POST",
            "path": "/v1/chat/completions",
            "model": "m",
            "prompt_tokens": 1200,
            "output_tokens": 90,
            "blocks": "0" * 64,
            "session": "00000000000000ff",
        },
        "candidates": [
            {"endpoint": "a", "in_flight": 3, "here": 1, "terms": {"score": 1.5}},
            {
                "endpoint": "b",
                "in_flight": 9,
                "here": 0,
                "queued_tokens": 40,
                "report_age_s": 0.25,
                "terms": {"score": 2.5, "prefix": None},
            },
        ],
        "predicted": {"ttft_s": 0.05, "cached_tokens": 1000, "output_tokens": 90},
        "came_true": {
            "ttft_s": 1.25,
            "total_s": 31.0,
            "cached_tokens": None,
            "prompt_tokens": 1180,
            "output_tokens": 40,
            "status": 200,
            "end": "client_gone",
        },
        "shadow": {"ttft": {"picked": "a", "cost_s": 0.05, "live_cost_s": 0.1}},
    }


def shown(say: object, *arguments: object) -> list[str]:
    console = Console(file=io.StringIO(), highlight=False)
    say(*arguments, console)  # type: ignore[operator]
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_an_explanation_has_the_pick_first_and_both_what_was_predicted_and_what_came_true() -> None:
    lines = shown(print_explanation, record())
    text = "\n".join(lines)
    rows = [line.split() for line in lines]
    assert ["→", "b", "a"] in rows
    assert ["in", "flight", "9", "3"] in rows
    assert ["report", "age", "250", "ms", "–"] in rows
    assert ["score", "2.5", "1.5"] in rows
    assert "and 3 more" in text
    assert ["first", "byte", "50.0", "ms", "1.25", "s"] in rows
    assert ["prompt", "tokens", "–", "1180"] in rows
    assert "200, client_gone after 31.0 s" in text
    assert "ttft (shadow) would have picked a: 50.0 ms instead of 100 ms" in text
    assert "in 4 blocks" in text


def test_many_candidates_and_terms_fit_a_terminal_of_80_columns_with_nothing_cut() -> None:
    many = record()
    many["candidates"] = [
        {
            "endpoint": f"10.0.0.{number}:8000",
            "in_flight": number,
            "terms": {f"term_{term}_s": 1.0 + number + term / 8 for term in range(12)},
        }
        for number in range(1, 9)
    ]
    many["picked"] = "10.0.0.1:8000"
    console = Console(file=io.StringIO(), highlight=False, width=80, force_terminal=True,
                      color_system=None, legacy_windows=False)  # fmt: skip
    print_explanation(many, console)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert max(len(line) for line in text.splitlines() if "request" not in line) <= 80
    assert "…" not in text
    assert all(f"10.0.0.{number}:8000" in text for number in range(1, 9))
    terms = [line.split() for line in text.splitlines() if line.startswith("term_11")]
    assert [len(row) // 2 for row in terms] == [4, 4], "a value and its unit for each candidate"


def test_one_that_runs_still_says_so() -> None:
    running = {key: value for key, value in record().items() if key != "came_true"}
    assert any("still running" in line for line in shown(print_explanation, running))
    assert any("running" in line for line in shown(print_decisions, [running]))


def test_a_list_has_a_line_for_each() -> None:
    lines = shown(print_decisions, [record(), record()])
    assert [line.split()[1:4] for line in lines[1:]] == [["abc", "main", "b"]] * 2
    assert "client_gone" in lines[1]


def test_shadows_without_a_decision_yet_and_with() -> None:
    none = {
        "policy": "ttft",
        "decisions": 0,
        "different_share": None,
        "live_cost_s": None,
        "cost_s": None,
        "regret_s": None,
    }
    some = none | {"decisions": 4, "different_share": 0.25, "live_cost_s": 0.2, "cost_s": 0.3}
    pools = [{"name": "main", "policy": "scored", "shadow": [none, some | {"regret_s": -0.1}]}]
    lines = shown(print_shadows, pools)
    assert lines[1].split() == ["main", "scored", "ttft", "0", "–", "–", "–", "–"]
    assert "25.0%" in lines[2]
    assert "-100 ms" in lines[2]


def test_what_clients_make_up_is_shown_as_it_is_and_commands_no_terminal() -> None:
    made_up = record()
    made_up["id"] = "[/red] a"
    made_up["request"] |= {"path": "/v1/[/b]", "model": "\x1b[31mm[bold]\n"}
    text = "\n".join(shown(print_explanation, made_up))
    assert "request [/red] a" in text
    assert "POST /v1/[/b], model \\x1b[31mm[bold]\\n, about" in text
    assert "[/red] a" in "\n".join(shown(print_decisions, [made_up]))
