"""A policy of one's own is found beside the file that names it, wherever the command is run."""

import subprocess
import sys
from pathlib import Path

import pytest

from penstock.config.compile.snapshot import load_configuration
from penstock.config.document.choice import choose
from penstock.core.snapshot import PolicyChoice
from penstock.sim.experiment import compare
from penstock.sim.outcome import OwnPolicyError
from penstock.sim.scenario_file import load_scenario

EXAMPLE = Path(__file__).parents[3] / "examples" / "own-policy"
NAME = "two_choices:TwoChoices"


def test_the_example_is_found_by_check_from_another_directory(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "penstock", "check", str(EXAMPLE / "penstock.yaml")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert NAME in done.stdout


def test_the_same_class_runs_in_data_plane_and_simulator_and_does_what_it_says() -> None:
    [pool] = load_configuration(EXAMPLE / "penstock.yaml").snapshot.pools
    assert pool.policy == PolicyChoice(NAME)
    changes = {"run": {"customers": 20_000, "replications": 1}}
    comparison = compare(load_scenario(EXAMPLE / "scenario.yaml", changes), processes=0)
    mean = {result.label: result.interval("mean").mean for result in comparison.results}
    assert mean["least-request"] < mean[NAME] < mean["random"] / 2


def test_a_directory_beside_a_file_comes_after_pythons_own_modules(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("raise ImportError")
    (tmp_path / "penstock.yaml").write_text("endpoints: a:1")
    load_configuration(tmp_path / "penstock.yaml")
    assert sys.path.index(str(tmp_path)) > 0
    script = "import json; print(json.__file__)"
    assert str(tmp_path) not in subprocess.check_output([sys.executable, "-c", script], text=True)


def test_a_class_that_cannot_be_made_is_told_with_its_line() -> None:
    with pytest.raises(ValueError, match=r"\(.*faulty_policy.py, line \d+\): KeyError"):
        choose("tests.scenario.faulty_policy:Faulty", {"method": "make"})


def test_one_that_fails_in_the_simulator_is_told_with_its_line() -> None:
    faulty = {"policies": ["tests.scenario.faulty_policy:Faulty"], "run": {"customers": 10}}
    with pytest.raises(OwnPolicyError, match=r"Faulty failed in .*faulty_policy.py, line \d+"):
        compare(load_scenario(EXAMPLE / "scenario.yaml", faulty), processes=0)
