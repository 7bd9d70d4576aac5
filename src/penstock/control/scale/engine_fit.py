"""How fast an average engine of a pool is, as the workers' policies have learned."""

import msgspec

from penstock.control.workers.workers import Workers
from penstock.core.policy.support.engine_model import FleetModel
from penstock.core.scale.engine_capacity import EngineCapacity
from penstock.core.snapshot import Pool
from penstock.dataplane.board.layout import R_KV_CAPACITY, R_MOST_RUNNING
from penstock.dataplane.board.memory import Board

_FIELDS = ("base_s", "token_s", "square_s", "step_s", "batch_s", "kv_s", "disturbance_s")


class EngineFit:
    """Asks them."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers

    async def refresh(self, pool: Pool, capacity: EngineCapacity, board: Board) -> None:
        """Take over what the worker says that has seen most, and what engines report."""
        answers = await self._workers.ask_all({"kind": "engine_model", "pool": pool.name})
        told = [each["model"] for each in answers if each.get("model") is not None]
        if told:
            models = msgspec.convert(told, list[dict[str, float]])
            best = max(models, key=lambda model: model["samples"])
            fleet = FleetModel()
            for field in _FIELDS:
                setattr(fleet, field, best[field])
            capacity.fleet = fleet
        for endpoint in pool.endpoints:
            at = board.report(endpoint.row)
            capacity.kv_capacity = max(board.cells[at + R_KV_CAPACITY], capacity.kv_capacity)
            capacity.most_running = max(board.cells[at + R_MOST_RUNNING], capacity.most_running)
