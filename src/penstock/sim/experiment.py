"""Policies side by side: replications in parallel processes, intervals over them."""

import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection

from penstock.core.snapshot import PolicyChoice
from penstock.sim.kernel.histogram import FineHistogram
from penstock.sim.outcome import METRICS, Outcome, histogram_of, policy_label, run_once
from penstock.sim.parallel import results
from penstock.sim.scenario import Scenario
from penstock.sim.statistics import Interval, interval


@dataclass(frozen=True)
class Result:
    """One policy's replications taken together."""

    policy: PolicyChoice
    outcomes: list[Outcome]

    @property
    def label(self) -> str:
        return policy_label(self.policy)

    def interval(self, metric: str) -> Interval:
        """The metric's mean over replications with its 95% interval."""
        return interval([outcome.metrics[metric] for outcome in self.outcomes])

    def share(self, server: str) -> Interval:
        """The server's share of all requests served, as ``interval``."""
        return interval([outcome.share[server] for outcome in self.outcomes])

    def responses(self) -> FineHistogram:
        """Response times of all replications."""
        together = FineHistogram()
        for outcome in self.outcomes:
            together.add(histogram_of(outcome.responses))
        return together


@dataclass(frozen=True)
class Comparison:
    """What an experiment found."""

    scenario: Scenario
    results: list[Result]

    def metrics(self) -> list[str]:
        """The names of what was measured, in the order of a report."""
        known = set(self.results[0].outcomes[0].metrics)
        return [metric.name for metric in METRICS if metric.name in known]

    def servers(self) -> list[str]:
        """Their names, in order."""
        return list(self.results[0].outcomes[0].share)


def compare(
    scenario: Scenario,
    *,
    processes: int | None = None,
    timeline: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
    stop: Connection | None = None,
) -> Comparison:
    """Run every replication of every policy. The result does not depend on ``processes``.

    ``on_progress(done, all)`` is called as runs end. ``processes`` is by default one per core;
    with 0, everything runs in this process, which minds no signal before a run ends. With others,
    they are killed and StoppedError is raised when there is something to be read from ``stop``.
    """
    work = [
        partial(run_once, scenario, policy, replication, timeline=timeline and replication == 0)
        for replication in range(scenario.run.replications)
        for policy in scenario.policies
    ]
    if processes is None:
        processes = os.cpu_count() or 1
    outcomes: dict[tuple[str, int], Outcome] = {}
    here = (run() for run in work)
    with closing(results(work, processes, stop) if processes else here) as ended:
        for done, outcome in enumerate(ended, start=1):
            outcomes[outcome.policy, outcome.replication] = outcome
            if on_progress is not None:
                on_progress(done, len(work))
    return Comparison(
        scenario,
        [
            Result(p, [outcomes[policy_label(p), r] for r in range(scenario.run.replications)])
            for p in scenario.policies
        ],
    )
