"""Faults of one engine of eight in the simulator, with and without hedges, seed by seed."""

from dataclasses import dataclass
from typing import Any, Final

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.policy import create
from penstock.core.pool.pool import Pool
from penstock.core.snapshot import PolicyChoice
from penstock.sim.kernel.balancer import SimulatedBalancer
from penstock.sim.kernel.histogram import FineHistogram
from penstock.sim.kernel.recorder import Recorder
from penstock.sim.scenario import Scenario
from penstock.sim.scenario_file import scenario_of
from penstock.sim.sources import source_of, stream
from penstock.sim.world import World, build_world

PROFILE: Final = "llama-70b-h100"
ENGINES: Final = 8
RATE: Final = 8.0  # conversations a second, of three turns
PERIOD_S: Final = 15  # between two stalls, or two bursts of somebody else's
STALL_S: Final = 4
BURST_S: Final = 5
BURST_RATE: Final = 30.0  # prompts a second that one engine gets of others meanwhile
SLOW: Final = 0.1  # of its speed

NONE: Final = "none"
FAULTS: Final = (NONE, "slow by ten", "stalls", "overloaded")


@dataclass(frozen=True)
class Run:
    """One run: seconds to the first token, and prompt tokens that were computed."""

    mean_s: float
    p99_s: float
    p999_s: float
    computed: int
    in_vain: int
    hedges: int
    won: int
    denied: int

    @property
    def extra(self) -> float:
        """Prompt tokens computed in vain, as a share of the others."""
        return self.in_vain / max(self.computed, 1)


def scenario(fault: str, hedge: object, duration_s: int) -> dict[str, Any]:
    """As ``penstock simulate`` reads it, but for what others send to the overloaded engine."""
    tenant = {
        "name": "chat",
        "groups": 0,
        "turns": 3,
        "input": {"mean": 1000, "cv2": 0.3},
        "output": {"mean": 20, "cv2": 0.3},
        "think": {"mean": "2s"},
    }
    incidents: list[dict[str, Any]] = []
    if fault == "slow by ten":
        incidents = [{"at": "0s", "servers": [0], "speed": SLOW}]
    elif fault == "stalls":
        incidents = [
            {"at": f"{at}s", "servers": [0], "pause": f"{STALL_S}s"}
            for at in range(PERIOD_S, duration_s, PERIOD_S)
        ]
    return {
        "name": fault,
        "servers": [{"count": ENGINES, "model": "engine", "engine": {"profile": PROFILE}}],
        "arrivals": {"rate": RATE},
        "prompts": {"tenants": [tenant]},
        "reports": {"scrape": "1s"},
        "incidents": incidents,
        "hedge": hedge,
        "run": {"duration": f"{duration_s}s", "warm_up": 0.2},
    }


def run(fault: str, policy: PolicyChoice, hedge: object, seed: int, duration_s: int) -> Run:
    """One run, from the beginning to the last answer."""
    made = scenario_of(scenario(fault, hedge, duration_s))
    world = build_world(made, policy, seed)
    if fault == "overloaded":
        _overload(world, made, seed, duration_s)
    world.run()
    recorder = world.recorder
    first: FineHistogram | None = recorder.first_bytes
    assert first is not None
    hedging = world.balancers[0].hedging
    return Run(
        mean_s=recorder.first_byte_sum / max(recorder.count, 1),
        p99_s=first.quantile(0.99),
        p999_s=first.quantile(0.999),
        computed=recorder.computed_tokens,
        in_vain=recorder.vain_tokens,
        hedges=0 if hedging is None else hedging.made,
        won=0 if hedging is None else hedging.won,
        denied=0 if hedging is None else hedging.denied,
    )


def _overload(world: World, made: Scenario, seed: int, duration_s: int) -> None:
    """Somebody else sends bursts of prompts to the first engine, which the balancer does not see
    but in the engine's own reports."""
    pool = Pool("others", create("round-robin"))
    pool.replace_endpoints([Endpoint("s0", pool="others")])
    recorder = Recorder()
    other = SimulatedBalancer(
        "others",
        world.clock,
        pool,
        Env(stream(seed, "others")),
        world.servers[:1],
        recorder,
    )
    bursts = made.model_copy(
        update={
            "arrivals": made.arrivals.model_validate(
                {
                    "kind": "bursts",
                    "rates": [0.0, BURST_RATE],
                    "stays": [f"{PERIOD_S - BURST_S}s", f"{BURST_S}s"],
                }
            )
        }
    )
    source_of(bursts, seed + 1000, world.clock, [other], recorder).begin()
