"""Policies side by side: replications in parallel processes, intervals over them."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import active_children, get_context
from signal import SIG_IGN, SIGINT, signal

from penstock.core.snapshot import PolicyChoice
from penstock.sim.kernel.histogram import FineHistogram
from penstock.sim.outcome import METRICS, Outcome, histogram_of, policy_label, run_once
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


def compare(
    scenario: Scenario,
    *,
    processes: int | None = None,
    timeline: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Run every replication of every policy. The result does not depend on ``processes``.

    ``on_progress(done, all)`` is called as runs end. ``processes`` is by default one per core;
    with one, everything runs in this process.
    """
    work = [(p, r) for r in range(scenario.run.replications) for p in scenario.policies]
    outcomes: dict[tuple[str, int], Outcome] = {}
    for done, outcome in enumerate(_all(scenario, work, processes, timeline), start=1):
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


def _all(
    scenario: Scenario,
    work: list[tuple[PolicyChoice, int]],
    processes: int | None,
    timeline: bool,
) -> Iterable[Outcome]:
    workers = min(len(work), processes or os.cpu_count() or 1)
    if workers == 1:
        for policy, replication in work:
            yield run_once(scenario, policy, replication, timeline=timeline and replication == 0)
        return
    others = set(active_children())
    # Not forked: a fork copies locks that other threads, such as a progress bar's, may hold.
    # Deaf to Ctrl-C, which is for who reads the results: they would go on with the next run.
    with ProcessPoolExecutor(workers, get_context("spawn"), signal, (SIGINT, SIG_IGN)) as executor:
        try:
            running = [
                executor.submit(run_once, scenario, p, r, timeline=timeline and r == 0)
                for p, r in work
            ]
            for future in as_completed(running):
                yield future.result()
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            for process in set(active_children()) - others:
                process.terminate()  # leaving waits for what runs, which may take hours
            raise
