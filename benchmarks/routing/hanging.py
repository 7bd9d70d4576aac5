"""Which share of requests an engine gets that hung, while it hangs and after it came back.

python -m benchmarks.routing.hanging
"""

from pathlib import Path
from typing import Final

import click

from benchmarks.reproductions.reproduction import table
from penstock.core.snapshot import PolicyChoice
from penstock.sim.scenario import Scenario
from penstock.sim.scenario_file import load_scenario
from penstock.sim.world import build_world

SCENARIO: Final = Path(__file__).parents[2] / "examples" / "scenarios" / "engine-hangs.yaml"
# Seconds of the run; the engine hangs from 60 to 80.
SPANS: Final = ((20, 60), (63, 80), (80, 110), (110, 140), (140, 200))


def shares(scenario: Scenario, policy: PolicyChoice, seeds: int) -> list[float]:
    """Of the first engine in each span, in equal shares, over all seeds."""
    own = [0] * len(SPANS)
    everyone = [0] * len(SPANS)
    for seed in range(1, seeds + 1):
        world = build_world(scenario, policy, seed)
        picks: list[int] = []
        balancer = world.balancers[0]
        balancer.picks = picks
        world.run()
        for at, order in zip(balancer.picked_at, picks, strict=True):
            for index, (since, until) in enumerate(SPANS):
                if since <= at < until:
                    everyone[index] += 1
                    own[index] += order == 0
    count = scenario.server_count
    return [count * mine / max(both, 1) for mine, both in zip(own, everyone, strict=True)]


@click.command()
@click.option("--seeds", default=3, show_default=True)
def main(seeds: int) -> None:
    """Print a Markdown table: 1.00 is an equal share."""
    scenario = load_scenario(SCENARIO)
    rows = [
        [f"`{policy.name}`", *(f"{share:.2f}" for share in shares(scenario, policy, seeds))]
        for policy in scenario.policies
    ]
    heads = ["policy", *(f"{since}–{until} s" for since, until in SPANS)]
    click.echo("\n".join(table(heads, rows)))


if __name__ == "__main__":
    main()
