"""Recorded decisions are taken again: by the same policy the same, by others as they would."""

import json
from heapq import heappop, heappush
from pathlib import Path
from random import Random
from typing import Any

import pytest
from click.testing import CliRunner

from penstock.cli.main import penstock_command
from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.policy import create
from penstock.core.pool.pool import Pool
from penstock.core.request import Request
from penstock.core.snapshot import PolicyChoice
from penstock.core.ticket import DONE, Ticket
from penstock.dataplane.record.decision import Decision
from penstock.sim.decisions import read_records, replay


class Recording:
    """A pool of four, of which ``e3`` is slow, that records all it decides."""

    def __init__(self, policy: PolicyChoice, seed: int = 3) -> None:
        self.lines: list[bytes] = []
        self.picked: list[str] = []
        self._dice = Random(seed)
        self._policy = policy
        self._env = Env(Random(seed))
        self._pool = Pool("main", create(policy.name, dict(policy.options)))
        self._pool.replace_endpoints([Endpoint(f"e{i}") for i in range(4)])
        self._due: list[tuple[float, int, Decision, Ticket]] = []

    def run(self, count: int, serving: bool) -> None:
        for number in range(count):
            now = self._env.now = number * 0.05
            self._go_on_until(now)
            self._decide(number, self._request(serving), now)
        self._go_on_until(1e9)

    def _go_on_until(self, now: float) -> None:
        while self._due and self._due[0][0] <= now:
            at, number, decision, ticket = heappop(self._due)
            if number % 2 == 0:
                ticket.status = 200
                ticket.first_byte(at)
            else:
                ticket.output_tokens = 12
                ticket.settle(DONE, at)
                self.lines.append(decision.came_true(ticket, ""))

    def _decide(self, number: int, request: Request, now: float) -> None:
        pool = self._pool
        explained = pool.policy.explain(request, pool.eligible, self._env)
        decision = Decision(f"r{number}", now, "main", self._policy.name, request, explained, now)
        picked = pool.pick(request, self._env)
        assert picked is not None
        decision.picked(picked, "policy", 1)
        self.picked.append(picked.name)
        ticket = Ticket(picked, pool.policy, request, now)
        decision.predicted(ticket)
        wait = 0.4 if picked.name == "e3" else 0.1
        heappush(self._due, (now + wait, 2 * number, decision, ticket))
        heappush(self._due, (now + wait + 0.1, 2 * number + 1, decision, ticket))

    def _request(self, serving: bool) -> Request:
        if not serving:
            return Request(key_hash=self._dice.getrandbits(64) | 1)
        first = self._dice.randrange(6) * 1000
        blocks = list(range(first, first + 40))
        return Request(
            model="m", blocks=blocks, block_tokens=16, prompt_tokens=640, output_tokens=12
        )

    def join(self, name: str) -> None:
        """From now on there is another endpoint."""
        self._pool.replace_endpoints([*self._pool.endpoints, Endpoint(name)])

    def write(self, path: Path) -> Path:
        path.write_bytes(b"\n".join(self.lines) + b"\n")
        return path


MARGINAL = PolicyChoice("marginal-cost", {"explore": 0.0, "noise": 0.0})
IN_TURN = PolicyChoice("round-robin")


@pytest.mark.parametrize("name", ["least-request", "consistent-hash", "first-available"])
def test_the_policy_that_decided_decides_alike(name: str, tmp_path: Path) -> None:
    recording = Recording(PolicyChoice(name))
    recording.run(200, serving=False)
    records = read_records(recording.write(tmp_path / "decisions.jsonl"))
    choices = [PolicyChoice(name), PolicyChoice("random")]
    same, other = replay(records, choices)
    assert (same.decisions, other.decisions) == (200, 200)
    assert same.different == 0
    assert other.different > 100


class OneBeginning(Recording):
    """Every conversation begins alike, and after a hundred of them an endpoint joins."""

    def _request(self, serving: bool) -> Request:
        number = len(self.picked)
        if number == 100:
            self.join("new")
        blocks = [*range(1, 100), 1000 + number]
        return Request(
            model="m", blocks=blocks, block_tokens=16, prompt_tokens=1600, output_tokens=12
        )


def test_what_was_seeded_is_replayed_as_it_was_weighed(tmp_path: Path) -> None:
    recording = OneBeginning(PolicyChoice("prefix-sticky"))
    recording.run(200, serving=True)
    assert "new" in recording.picked
    records = read_records(recording.write(tmp_path / "decisions.jsonl"))
    assert any("seeded_tokens" in c.terms for record in records for c in record.candidates)
    [same] = replay(records, [PolicyChoice("prefix-sticky")])
    assert (same.decisions, same.different) == (200, 0)


class Slotted(Recording):
    """Every engine serves one request at a time, and says so."""

    def _decide(self, number: int, request: Request, now: float) -> None:
        for endpoint in self._pool.endpoints:
            endpoint.reported.most_running = 1
        super()._decide(number, request, now)


def test_waits_for_slots_are_replayed_as_they_were_weighed(tmp_path: Path) -> None:
    recording = Slotted(MARGINAL)
    recording.run(300, serving=True)
    records = read_records(recording.write(tmp_path / "decisions.jsonl"))
    assert any(c.terms.get("slot_s") for record in records for c in record.candidates)
    [same] = replay(records, [MARGINAL])
    assert same.decisions == 300
    assert same.recorded_cost_s == pytest.approx(same.cost_s, rel=0.005)
    assert same.different <= 15


def test_a_policy_that_learns_decides_alike_from_the_records_alone(tmp_path: Path) -> None:
    recording = Recording(MARGINAL)
    recording.run(300, serving=True)
    records = read_records(recording.write(tmp_path / "decisions.jsonl"))
    same, other = replay(records, [MARGINAL, IN_TURN])
    assert same.decisions == 300
    assert same.cost_s == pytest.approx(same.recorded_cost_s, rel=0.005)  # chance decides ties
    assert same.different <= 15
    assert other.cost_s > 1.3 * same.cost_s


def test_the_cost_of_what_another_would_have_picked_is_told(tmp_path: Path) -> None:
    recording = Recording(IN_TURN)
    recording.run(300, serving=True)
    records = read_records(recording.write(tmp_path / "decisions.jsonl"))
    (found,) = replay(records, [MARGINAL])
    assert found.judged == 300
    assert found.cost_s < found.recorded_cost_s
    recording = Recording(IN_TURN)
    recording.run(300, serving=False)
    records = read_records(recording.write(tmp_path / "plain.jsonl"))
    (plain,) = replay(records, [PolicyChoice("peak-ewma")])
    assert plain.judged > 250
    assert plain.cost_s < plain.recorded_cost_s
    assert len(plain.picks) == plain.different > 0


def simulate(*arguments: str) -> Any:
    return CliRunner().invoke(penstock_command, ["simulate", *arguments], prog_name="penstock")


def test_the_command_line(tmp_path: Path) -> None:
    recording = Recording(IN_TURN)
    recording.run(50, serving=True)
    file, out = recording.write(tmp_path / "decisions.jsonl"), tmp_path / "out.json"
    done = simulate(
        "--decisions", str(file), "-p", "ttft", "-p", "least-request", "--json", str(out)
    )
    assert done.exit_code == 0, done.output
    rows = [line.split() for line in done.output.splitlines()]
    assert rows[1][:4] == ["main", "round-robin", "ttft", "50"]
    assert rows[2][:4] == ["main", "round-robin", "least-request", "50"]
    assert [each["policy"] for each in json.loads(out.read_text())] == ["ttft", "least-request"]


@pytest.mark.parametrize(
    ("text", "arguments", "says"),
    [
        ("{}\n", ["-p", "ttft"], ":1: not a recorded decision"),
        ("", ["-p", "ttft"], "no recorded decision"),
        ("", [], "-p least-request"),
        ("", ["-p", "tttf"], "did you mean 'ttft'"),
    ],
)
def test_what_cannot_be_replayed_is_told(
    text: str, arguments: list[str], says: str, tmp_path: Path
) -> None:
    file = tmp_path / "decisions.jsonl"
    file.write_text(text)
    done = simulate("--decisions", str(file), *arguments)
    assert done.exit_code == 1
    assert says in done.output
