"""A fleet in two halves in the simulator, under each rule for what is computed apart."""

from dataclasses import dataclass
from typing import Any, Final

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.policy import create
from penstock.core.pool.pool import Pool
from penstock.core.snapshot.split import BY_COST
from penstock.sim.kernel.engine_server import EngineServer
from penstock.sim.kernel.events import Clock
from penstock.sim.kernel.histogram import FineHistogram
from penstock.sim.kernel.recorder import Recorder
from penstock.sim.kernel.reports import Scrape
from penstock.sim.kernel.server import Server
from penstock.sim.kernel.split_balancer import NEVER, Link, SplitBalancer
from penstock.sim.kernel.telemetry import Telemetry
from penstock.sim.prompt_specs import EngineSpec
from penstock.sim.scenario_file import scenario_of
from penstock.sim.sources import source_of, stream

PROFILE: Final = "llama-70b-h100"
COMPUTING: Final = 4
ANSWERING: Final = 4
TOKEN_BYTES: Final = 327_680  # of a 70B model's KV cache
FAST_LINK: Final = Link(0.005, TOKEN_BYTES / 25e9)  # 200 Gbit/s
SLOW_LINK: Final = Link(0.02, TOKEN_BYTES / 1.25e9)  # 10 Gbit/s
TTFT_S: Final = 2.0
TPOT_S: Final = 0.06

# By name: the least number of tokens not cached from which a prompt is computed apart.
RULES: Final = {"always": 0, "never": NEVER, "threshold 1024": 1024, "by cost": BY_COST}


@dataclass(frozen=True)
class Workload:
    """Conversations a second, and what they are."""

    rate: float
    input_tokens: int
    output_tokens: int
    turns: float = 1.0
    groups: int = 0
    system_tokens: int = 0
    slow_link: bool = False

    def scenario(self, seconds: int) -> dict[str, Any]:
        tenant = {
            "name": "chat",
            "groups": self.groups,
            "system_tokens": self.system_tokens,
            "turns": self.turns,
            "input": {"mean": self.input_tokens, "cv2": 0.5},
            "output": {"mean": self.output_tokens, "cv2": 0.5},
            "think": {"mean": "3s"},
        }
        return {
            "servers": [{"count": ANSWERING, "model": "engine", "engine": {"profile": PROFILE}}],
            "arrivals": {"rate": self.rate},
            "prompts": {"tenants": [tenant]},
            "objective_ttft": f"{TTFT_S:g}s",
            "objective_tpot": f"{TPOT_S * 1e3:g}ms",
            "run": {"duration": f"{seconds}s", "warm_up": 0.25},
        }


WORKLOADS: Final = {
    "short prompts": Workload(rate=12.0, input_tokens=300, output_tokens=150),
    "long prompts": Workload(rate=3.0, input_tokens=8000, output_tokens=150),
    "short and long": Workload(rate=4.0, input_tokens=4000, output_tokens=150, turns=2.0),
    "cached prefixes": Workload(
        rate=3.0, input_tokens=400, output_tokens=100, turns=3.0, groups=8, system_tokens=6000
    ),
    "overloaded decode": Workload(rate=6.0, input_tokens=1500, output_tokens=500),
    "long prompts over a slow link": Workload(
        rate=3.0, input_tokens=8000, output_tokens=150, slow_link=True
    ),
}


@dataclass(frozen=True)
class Run:
    """Seconds, answers within the objectives a second, and the share of prompts apart."""

    mean_s: float
    p99_s: float
    token_s: float
    good_per_s: float
    apart: float


def run(workload: Workload, rule: str, seed: int, seconds: int) -> Run:
    """One run, from the beginning to the last answer."""
    made = scenario_of(workload.scenario(seconds))
    clock = Clock()
    servers = _engines("d", ANSWERING, clock)
    computers = _engines("p", COMPUTING, clock)
    recorder = Recorder(first_byte_objective_s=TTFT_S, token_objective_s=TPOT_S)
    recorder.first_bytes = FineHistogram()
    balancer = SplitBalancer(
        "b", clock, _pool("d", servers), Env(stream(seed, "policy 0")), servers, recorder
    )
    link = SLOW_LINK if workload.slow_link else FAST_LINK
    fresh = Link(link.base_s, link.token_s)
    balancer.split_by(_pool("p", computers), computers, RULES[rule], fresh)
    clock.at(Scrape(clock, [balancer], 1.0), 1.0)
    source_of(made, seed, clock, [balancer], recorder).begin()
    clock.run()
    return Run(
        mean_s=recorder.first_byte_sum / max(recorder.count, 1),
        p99_s=recorder.first_bytes.quantile(0.99),
        token_s=recorder.per_token_sum / max(recorder.per_token_count, 1),
        good_per_s=recorder.good_in_window / max(recorder.window_s(), 1e-9),
        apart=balancer.apart / max(balancer.sent, 1),
    )


def _engines(name: str, count: int, clock: Clock) -> list[Server]:
    made: list[Server] = []
    for number in range(count):
        server = EngineServer(f"{name}{number}", clock, EngineSpec(profile=PROFILE).build())
        server.telemetry = Telemetry()
        made.append(server)
    return made


def _pool(name: str, servers: list[Server]) -> Pool:
    pool = Pool(name, create("marginal-cost"))
    pool.replace_endpoints([Endpoint(server.name, pool=name) for server in servers])
    return pool
