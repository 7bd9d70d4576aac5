"""Experiments: replications, what is made of them, and how they are shown."""

import json
import os
import re
import subprocess
import sys
from contextlib import suppress
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM, Signals
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from penstock.cli.simulate import simulate
from penstock.sim.expectation import expectation
from penstock.sim.experiment import compare
from penstock.sim.report.page import comparison_page
from penstock.sim.report.table import comparison_table
from penstock.sim.report.wording import duration, measure
from penstock.sim.scenario import Scenario
from penstock.sim.scenario_file import scenario_of
from tests.harness.reports import drawings_of
from tests.harness.waiting import PATIENCE_S, wait_until


def scenario(**values: Any) -> Scenario:
    return scenario_of(
        {
            "arrivals": {"load": 0.7},
            "servers": [{"count": 3}],
            "policies": ["random", "least-request"],
            "run": {"customers": 3000, "replications": 4},
        }
        | values
    )


def test_the_result_does_not_depend_on_the_number_of_processes() -> None:
    alone = compare(scenario(), processes=0)
    spread = compare(scenario(), processes=2)
    for first, second in zip(alone.results, spread.results, strict=True):
        for one, other in zip(first.outcomes, second.outcomes, strict=True):
            assert one.metrics == other.metrics
            assert one.responses == other.responses


@pytest.mark.skipif(sys.platform != "linux", reason="children are read from /proc")
@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize(("number", "status"), [(SIGINT, 1), (SIGTERM, 128 + SIGTERM)])
def test_a_signal_ends_a_comparison_whatever_its_processes_are_at(
    number: Signals, status: int, processes: int
) -> None:
    command = [sys.executable, "-m", "penstock", "simulate", "--processes", str(processes)]
    endless = subprocess.Popen(
        [*command, "--customers", str(10**9)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    )
    children = Path(f"/proc/{endless.pid}/task/{endless.pid}/children")
    try:
        # One more than asked for: the tracker of what processes share.
        wait_until(lambda: len(children.read_text().split()) == processes + 1, "they run")
        started = children.read_text().split()
        os.killpg(endless.pid, number)  # as a terminal does it
        said, _ = endless.communicate(timeout=PATIENCE_S)
        assert endless.returncode == status
        assert said.strip() == ("Aborted!" if number == SIGINT else "")
        wait_until(lambda: not any(map(_runs, started)), "they ended with it")
    finally:
        with suppress(ProcessLookupError):
            os.killpg(endless.pid, SIGKILL)
        endless.communicate()


def _runs(pid: str) -> bool:
    """Whether it is there, and no one that only waits for being reaped."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return not stat.rpartition(")")[2].startswith(" Z")


def test_replications_differ_and_progress_is_told() -> None:
    seen: list[tuple[int, int]] = []
    comparison = compare(scenario(), processes=0, on_progress=lambda a, b: seen.append((a, b)))
    means = [outcome.metrics["mean"] for outcome in comparison.results[0].outcomes]
    assert len(set(means)) == 4
    assert seen == [(done, 8) for done in range(1, 9)]


def test_shares_and_utilisation_add_up() -> None:
    outcome = compare(scenario(), processes=0).results[0].outcomes[0]
    assert sum(outcome.share.values()) == pytest.approx(1.0)
    assert sum(outcome.utilisation.values()) / 3 == pytest.approx(0.7, abs=0.07)
    assert outcome.metrics["imbalance"] >= 1.0
    assert outcome.mean_work_s == pytest.approx(1.0, abs=0.1)
    assert outcome.mean_gap_s == pytest.approx(1 / 2.1, abs=0.05)


def test_goodput_counts_what_is_within_the_objective_and_errors_what_is_not_answered() -> None:
    comparison = compare(
        scenario(objective="1s", servers=[{"count": 3, "room": 2}], timeout="3s"), processes=0
    )
    metrics = comparison.results[0].outcomes[0].metrics
    assert 0.0 < metrics["goodput"] < metrics["throughput"]
    assert 0.0 < metrics["errors"] < 0.5


@pytest.mark.parametrize(
    ("changes", "policy", "model"),
    [
        ({"servers": [{}]}, "random", "M/M/1"),
        ({"servers": [{"slots": 4}]}, "random", "M/M/4"),
        ({"servers": [{"slots": 2, "room": 5}]}, "random", "M/M/2/5"),
        ({"servers": [{}], "service": {"law": "gamma", "cv2": 2}}, "random", "M/G/1"),
        ({"servers": [{"model": "sharing"}]}, "random", "M/G/1 sharing"),
        (
            {"servers": [{"slots": 2}], "service": {"law": "gamma", "cv2": 2}},
            "random",
            "Allen–Cunneen, M/G/2",
        ),
        (
            {"servers": [{}], "arrivals": {"kind": "gamma", "cv2": 2, "load": 0.5}},
            "random",
            "Allen–Cunneen, G/G/1",
        ),
        ({}, "random", "M/M/1 at each of 3 servers"),
        ({}, "round-robin", "E3/M/1 at each of 3 servers"),
        ({"servers": [{"count": 2}]}, "least-request", "join the shorter of two queues"),
        ({"servers": [{"count": 50}]}, "power-of-two", "shortest of 2 queues"),
        ({"servers": [{"count": 50}]}, "least-request", "shortest of 2 queues"),
        ({"arrivals": {"load": 1.2}}, "random", "unstable"),
    ],
)
def test_a_scenario_is_known_for_what_theory_calls_it(
    changes: dict[str, Any], policy: str, model: str
) -> None:
    asked = scenario(**{"policies": [policy], **changes})
    found = expectation(asked, asked.policies[0])
    assert found is not None
    assert found.model.startswith(model)


@pytest.mark.parametrize(
    ("changes", "policy"),
    [
        ({}, "least-request"),
        ({"timeout": "5s"}, "random"),
        ({"arrivals": {"kind": "closed", "clients": 3}}, "random"),
        ({"service": {"law": "gamma", "cv2": 2}}, "round-robin"),
        ({"balancers": 2}, "round-robin"),
        ({"network": {"request": "1ms"}}, "random"),
        ({"servers": [{"model": "sharing", "slots": 2}]}, "random"),
        ({"service": {"law": "pareto", "alpha": 1.5}}, "random"),
    ],
)
def test_no_closed_form_is_claimed_where_none_is_known(
    changes: dict[str, Any], policy: str
) -> None:
    asked = scenario(**{"policies": [policy], **changes})
    assert expectation(asked, asked.policies[0]) is None


def test_servers_of_different_speed_are_expected_one_by_one() -> None:
    asked = scenario(
        servers=[{"speed": 3, "weight": "capacity"}, {"weight": "capacity"}], policies=["random"]
    )
    found = expectation(asked, asked.policies[0])
    assert found is not None
    # 3/4 of requests meet M/M/1 of rate 3, the rest M/M/1 of rate 1, both at a load of .7.
    assert found.metrics["mean"] == pytest.approx(0.75 / 0.9 + 0.25 / 0.3)


def test_the_table_names_policies_metrics_and_theory() -> None:
    comparison = compare(scenario(name="three"), processes=0)
    text = StringIO()
    Console(file=text, width=120).print(comparison_table(comparison, with_theory=True))
    shown = text.getvalue()
    for word in ("three", "random", "least-request", "theory", "p99.9", "imbalance", "±"):
        assert word in shown
    assert "M/M/1 at each of 3 servers." in shown
    assert "least-request: no closed form" in shown


def test_no_name_is_cut_where_the_console_is_narrow() -> None:
    names = ["random", "power-of-two", "least-request", "round-robin", "peak-ewma"]
    comparison = compare(scenario(policies=names), processes=0)
    text = StringIO()
    Console(file=text, width=80).print(comparison_table(comparison, with_theory=True))
    lines = text.getvalue().splitlines()
    heads = " ".join(line for line in lines if "┃" in line)
    assert [name for name in names if name not in heads] == []
    assert heads.count("theory") == 2
    assert "…" not in text.getvalue()
    assert max(len(line) for line in lines) <= 80


class _Page(HTMLParser):
    """Counts elements, and notes anything loaded from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.count: dict[str, int] = {}
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1
        self.loaded += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_page_is_whole_in_itself_and_has_its_plots() -> None:
    comparison = compare(scenario(about="a < b"), processes=0, timeline=True)
    page = comparison_page(comparison)
    parsed = _Page()
    parsed.feed(page)
    drawings = drawings_of(page)
    assert [len(each["curves"]) for each in drawings] == [2] * 5, "two policies in five plots"
    marks = [each["data"][1:] for each in drawings if each["curves"][0]["marks"]]
    assert [[len(row) for row in rows] for rows in marks] == [[3, 3], [3, 3]], "three servers"
    assert parsed.loaded == []
    assert "a &lt; b" in page
    assert not re.search(r"\bnan\b", page.partition("<noscript>")[0])


def test_the_page_has_closed_forms_beside_the_measured_where_they_are_asked_for() -> None:
    comparison = compare(scenario(), processes=0, timeline=True)
    page = comparison_page(comparison, with_theory=True)
    expected = expectation(comparison.scenario, comparison.results[0].policy)
    assert expected is not None
    mean = measure("mean", expected.metrics["mean"])
    assert '<th>random</th><th class="theory">theory</th><th>least-request</th></tr>' in page
    row = page[page.index("<tr><th>mean</th>") :].partition("</tr>")[0]
    assert row.count("<td") == 3
    assert f'<td class="theory">{mean}</td>' in row
    assert 'class="theory"' not in comparison_page(comparison)


def test_numbers_read_well() -> None:
    assert [duration(s) for s in (0.0, 1.2345e-5, 0.0123, 1.5, 250.0, float("nan"))] == [
        "0 s",
        "12.3 µs",
        "12.3 ms",
        "1.50 s",
        "250 s",
        "–",
    ]
    assert measure("errors", 0.0123) == "1.23%"
    assert measure("throughput", 12.34) == "12.3/s"


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(simulate, [*arguments, "--processes", "1"], terminal_width=120)


def test_what_cannot_be_written_is_refused_before_anything_runs(tmp_path: Path) -> None:
    for option in ("--html", "--json"):
        result = invoke("--customers", "1000000000", option, str(tmp_path / "none" / "r"))
        assert result.exit_code == 2
        assert "there is no directory" in result.output
    decisions = tmp_path / "decisions.jsonl"
    decisions.touch()
    result = invoke("--decisions", str(decisions), "--html", str(tmp_path / "r.html"))
    assert result.exit_code == 2
    assert "--html cannot be combined with --decisions" in result.output


def test_the_command_runs_flags_and_writes_its_reports(tmp_path: Path) -> None:
    html, numbers = tmp_path / "r.html", tmp_path / "r.json"
    result = invoke(
        *("--servers", "4", "--load", "0.5", "--law", "gamma", "--cv2", "2", "--mean", "10ms"),
        *("-p", "random", "-p", "round-robin", "--customers", "2000", "--replications", "2"),
        *("--theory", "--html", str(html), "--json", str(numbers)),
    )
    assert result.exit_code == 0, result.output
    assert "round-robin" in result.output
    assert html.read_text("utf-8").startswith("<!doctype html>")
    written = json.loads(numbers.read_text("utf-8"))
    assert [policy["policy"] for policy in written["policies"]] == ["random", "round-robin"]
    first = written["policies"][0]
    assert first["theory"]["model"] == "M/G/1 at each of 4 servers"
    assert first["metrics"]["mean"]["mean"] == pytest.approx(0.025, rel=0.5)
    assert written["scenario"]["service"] == {
        "law": "gamma",
        "mean": "10ms",
        "cv2": 2.0,
        "alpha": None,
        "maximum": None,
        "values": [],
        "weights": [],
    }


def test_the_command_says_what_is_wrong() -> None:
    result = invoke("--servers", "2", "-p", "rondom")
    assert result.exit_code == 1
    assert "did you mean 'random'" in result.output
    missing = invoke("nowhere.yaml")
    assert missing.exit_code == 1
    assert "nowhere.yaml" in missing.output


def test_flags_replace_what_the_file_says(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text("name: mine\narrivals: {load: 0.5}\nservers: [{count: 2}]\n")
    result = invoke(str(file), "-p", "random", "--customers", "500", "--replications", "2")
    assert result.exit_code == 0, result.output
    assert "mine" in result.output
    assert "random" in result.output
