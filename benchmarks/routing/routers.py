"""What is compared: Penstock's policies, the routers made for inference engines, and proxies."""

from typing import Any

from benchmarks.balancers import Balancer, Envoy, HAProxy, Nginx, Penstock
from benchmarks.balancers.routers import Router
from benchmarks.routing.simulated import OWN, OWN_OBJECTIVES, POLICIES, WITH_OBJECTIVES


def routers(python: str, interpreted: bool, speedup: float) -> list[Balancer]:
    """In the order in which they run; objectives are told in the seconds of engines so fast."""

    def penstock(policy: str, **more: Any) -> Penstock:
        return Penstock(python, interpreted=interpreted, policy=policy, kind="llm", **more)

    objectives = {name: seconds / speedup for name, seconds in OWN_OBJECTIVES.items()}
    own = [penstock(policy) for policy in POLICIES]
    own.append(penstock(OWN, workers=2, variant=", 2 workers"))
    own.append(penstock(OWN, policy_options=objectives, variant=WITH_OBJECTIVES))
    peers = [
        Router(package, policy)
        for package in ("vllm-router", "sglang-router")
        for policy in ("cache_aware", "power_of_two")
    ]
    peers.append(Router("vllm-router", "kv_aware"))
    return [*own, *peers, Envoy(), HAProxy(), Nginx()]
