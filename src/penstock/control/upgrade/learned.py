"""What workers' policies learned, from those of one version to those of the next."""

from typing import Any

import msgspec

from penstock.control.workers.workers import Workers


async def ask_learned(workers: Workers) -> dict[str, Any]:
    """By pool, of the worker that has seen most of it."""
    best: dict[str, Any] = {}
    for answer in await workers.ask_all({"kind": "learned"}):
        try:
            told = msgspec.convert(answer.get("learned") or {}, dict[str, dict[str, Any]])
        except msgspec.ValidationError:
            continue
        for pool, known in told.items():
            if pool not in best or _seen(known) > _seen(best[pool]):
                best[pool] = known
    return best


async def tell_learned(workers: Workers, learned: dict[str, Any]) -> None:
    """All of ours go on from it."""
    if learned:
        await workers.send_all({"kind": "take_learned", "learned": learned})


def _seen(known: dict[str, Any]) -> float:
    state = known.get("state")
    seen = state.get("samples", 0) if isinstance(state, dict) else 0
    return float(seen) if isinstance(seen, (int, float)) else 0.0
