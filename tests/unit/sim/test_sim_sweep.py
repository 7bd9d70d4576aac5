"""A sweep over load, and what is said of scenarios that are hardly meant so."""

import json
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from penstock.cli.simulate import simulate
from penstock.sim.likely_mistakes import likely_mistakes
from penstock.sim.report.swept import sweep_page, sweep_table
from penstock.sim.scenario import Scenario
from penstock.sim.scenario_file import scenario_of
from penstock.sim.sweep import Sweep, parse_range, sweep
from tests.harness.reports import drawings_of


def scenario(arrivals: Mapping[str, Any], **values: Any) -> Scenario:
    return scenario_of(
        {
            "servers": [{"count": 3}],
            "policies": ["random", "least-request"],
            "run": {"customers": 2000, "replications": 2},
        }
        | {"arrivals": dict(arrivals)}
        | values
    )


@pytest.fixture(scope="module")
def swept() -> Sweep:
    return sweep(scenario, parse_range("load=0.5..0.9:3"), processes=0)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("load=0.5..0.9:3", (0.5, 0.7, 0.9)),
        ("load=0.9,0.5", (0.5, 0.9)),
        ("rate=10..100", tuple(float(value) for value in range(10, 101, 10))),
    ],
)
def test_a_range_is_read(text: str, values: tuple[float, ...]) -> None:
    assert parse_range(text).values == pytest.approx(values)


@pytest.mark.parametrize(
    "text", ["", "load", "cv2=1..2", "load=0.9..0.5", "load=a..b", "load=0..1", "load=0.1..1:1000"]
)
def test_what_is_no_range_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"load=|above 0"):
        parse_range(text)


def test_responses_grow_with_the_load_and_theory_lies_beside_them(swept: Sweep) -> None:
    means = [each.results[0].interval("mean").mean for each in swept.comparisons]
    assert means == sorted(means)
    theory = dict(swept.theory(0, "mean"))
    assert theory[0.5] == pytest.approx(2.0)
    assert theory[0.9] == pytest.approx(10.0)
    assert swept.theory(1, "mean") == [], "for three servers none is known"


def test_the_page_draws_theory_into_the_plots(swept: Sweep) -> None:
    page = sweep_page(swept)
    figure = page[page.index("<figure>") : page.index("</figure>")]
    assert "random, theory" in figure
    curves = drawings_of(page)[0]["curves"]
    assert [(each["colour"], each["dashed"]) for each in curves] == [
        (0, False),
        (0, True),
        (1, False),
    ]


def test_the_table_has_a_row_for_each_load(swept: Sweep) -> None:
    text = StringIO()
    Console(file=text, width=100).print(sweep_table(swept, with_theory=True))
    rows = [line.split() for line in text.getvalue().splitlines() if line.startswith("│")]
    assert [row[1] for row in rows[:3]] == ["0.5", "0.7", "0.9"]
    assert "theory" in text.getvalue()
    assert "random: M/M/1 at each of 3 servers." in text.getvalue()


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(simulate, [*arguments, "--processes", "1"], terminal_width=120)


BRIEF = ("--customers", "300", "--replications", "2", "-p", "random")


def test_the_command_sweeps_a_file_or_flags_and_writes_its_reports(tmp_path: Path) -> None:
    file, html, numbers = tmp_path / "s.yaml", tmp_path / "r.html", tmp_path / "r.json"
    file.write_text("arrivals: {rate: 1}\nservers: [{count: 2}]\n")
    written = ("--html", str(html), "--json", str(numbers))
    done = invoke(str(file), *BRIEF, "--sweep", "load=0.3,0.6", *written)
    assert done.exit_code == 0, done.output
    assert len(drawings_of(html.read_text())) > 0
    points = json.loads(numbers.read_text())["points"]
    assert [point["load"] for point in points] == [0.3, 0.6]
    assert points[0]["policies"][0]["theory"]["mean"] == pytest.approx(1 / 0.7)
    assert invoke(*BRIEF, "--sweep", "load=0.3,0.6").exit_code == 0


def test_a_wrong_range_is_refused() -> None:
    done = invoke(*BRIEF, "--sweep", "load=9")
    assert "Warning: the offered load is 9 times the capacity" in done.output
    done = invoke(*BRIEF, "--sweep", "laod=0.1..0.2")
    assert done.exit_code == 2
    assert "write load=0.5..0.95" in done.output


def test_a_load_that_grows_without_bound_is_warned_about() -> None:
    [mistake] = likely_mistakes(scenario({"load": 1.2}))
    assert mistake.startswith("the offered load is 1.2 times the capacity")
    assert list(likely_mistakes(scenario({"load": 1.2}, timeout="5s"))) == []
    assert list(likely_mistakes(scenario({"load": 1.2}, servers=[{"room": 10}]))) == []


def test_a_run_too_short_for_its_queues_to_fill_is_warned_about() -> None:
    """M/M/1 at 0.9 remembers 1 / (1 - √0.9)² = 380 mean services."""

    def warned(load: float, **values: Any) -> list[str]:
        return list(likely_mistakes(scenario({"load": load}, **values)))

    [mistake] = warned(0.9, run={"customers": 5000})
    assert "takes about 380 s to settle, and a run lasts 1,852 s" in mistake
    assert "(`--customers 5200`) are enough" in mistake
    assert warned(0.9, run={"customers": 5200}) == []
    assert warned(0.9, run={"customers": 5000}, service={"mean": "1ms"}) == [
        mistake.replace("380 s", "380 ms").replace("1,852 s", "1.85 s")
    ], "in other units the same"
    assert warned(0.9, servers=[{"count": 3, "room": 10}]) == [], "they cannot grow"
    assert warned(0.5) == []


def test_policies_are_warned_about_where_what_they_decide_by_is_missing() -> None:
    [mistake] = likely_mistakes(scenario({"load": 0.5}, policies=["random", "marginal-cost"]))
    assert "'marginal-cost' decides by prompts" in mistake
    [mistake] = likely_mistakes(scenario({"load": 0.5}, policies=["source-hash", "adaptive"]))
    assert "'source-hash' decides by the client's key" in mistake
    keyed = scenario({"load": 0.5}, policies=["source-hash"], keys={"count": 10})
    assert list(likely_mistakes(keyed)) == []
    done = invoke(*BRIEF, "--load", "0.1", "-p", "cache-aware")
    assert (done.exit_code, done.stderr.count("Warning: ")) == (0, 1)
