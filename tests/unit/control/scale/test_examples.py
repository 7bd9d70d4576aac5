"""The examples of scaling: right as documents, and SLURM's script against commands of its names."""

import os
from pathlib import Path

import pytest

from penstock.config.compile.snapshot import load_configuration
from penstock.control.events import Events
from penstock.control.scale.actuators.command import Command
from tests.unit.control.scale.test_actuators import RULES, tools

EXAMPLES = Path(__file__).parents[4] / "examples" / "scaling"

# Jobs are lines of a file: number, name, state, node.
STAND_INS = {
    "squeue": 'while [ "$1" != --name ]; do shift; done; '
    'while read -r i n s h; do [ "$n" = "$2" ] && echo "$i $s $h"; done < "$JOBS"; true',
    "sbatch": 'echo "$(($(wc -l < "$JOBS") + 1)) $3 PENDING none" >> "$JOBS"',
    "scancel": 'sed -i "/^$1 /d" "$JOBS"',
    "curl": 'case "$*" in *gpu1*) exit 0;; *) exit 7;; esac',
}


@pytest.mark.parametrize("file", ["penstock.yaml", "slurm.yaml"])
def test_the_documents_are_right(file: str) -> None:
    path = EXAMPLES / file
    (pool,) = load_configuration(path).snapshot.pools
    assert pool.scale is not None
    assert f"penstock serve --config examples/scaling/{file}" in path.read_text()


async def test_slurm_lists_starts_and_stops_jobs_of_its_pool_alone(
    events: Events, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = tmp_path / "jobs"
    jobs.write_text(
        "1 penstock-main RUNNING gpu1\n2 penstock-main RUNNING gpu2\n3 other RUNNING x\n"
    )
    for name, body in STAND_INS.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("JOBS", str(jobs))
    options = {
        "command": [str(EXAMPLES / "slurm.sh")],
        "timeout": 20.0,
        "environment": {"ENGINE_SCRIPT": "engine.sbatch"},
        "directory": None,
    }
    actuator = Command("main", RULES, options, tools(events))
    await actuator.start(1)
    await actuator.look()
    found = {unit.name: unit.state for unit in actuator.units()}
    assert found == {"1": "ready", "2": "starting", "4": "starting"}
    await actuator.stop("3")  # another's job
    await actuator.stop("1")
    left = [line.split()[0] for line in jobs.read_text().splitlines()]
    assert left == ["2", "3", "4"]
