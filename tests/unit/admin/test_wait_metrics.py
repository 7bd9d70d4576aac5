"""Time waited in queues, by class and tenant: whatever is told is bounded."""

from msgspec.structs import replace

from penstock.admin.view import Overview
from penstock.admin.wait_metrics import MOST_TENANTS, wait_metrics
from penstock.core.admission.wait_sums import WaitSums
from penstock.dataplane.board.ledger import BoardLedger
from penstock.dataplane.board.memory import Board
from tests.unit.admin.balancer import overview, pool

CLASSES = {"interactive": 0, "batch": 100}


def told(board: Board, shown: Overview) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for metric in wait_metrics(shown, board)
        for sample in metric.samples
    }


def seen(board: Board, tenants: tuple[str, ...] = ()) -> Overview:
    chat = replace(pool("chat", 0), queues=True, priorities=tuple(CLASSES))
    return replace(overview(chat, pool("web", 1)), tenants=tenants)


def noted(board: Board, importance: int, tenant: str, seconds: float, worker: int = 0) -> None:
    WaitSums(BoardLedger(board, worker, "chat"), CLASSES).note(importance, tenant, seconds)


def test_waits_are_summed_by_class_over_workers(board: Board) -> None:
    noted(board, 0, "", 0.5)
    noted(board, 0, "", 0.25, worker=1)
    noted(board, 7, "", 2.0)
    found = told(board, seen(board))
    assert found["penstock_admission_waited_total", "chat", "interactive"] == 2
    assert found["penstock_admission_wait_seconds_total", "chat", "interactive"] == 0.75
    assert found["penstock_admission_waited_total", "chat", "batch"] == 0
    assert found["penstock_admission_wait_seconds_total", "chat", "other"] == 2.0
    assert not [labels for labels in found if labels[1] == "web"]


def test_of_many_tenants_those_are_told_that_waited_longest(board: Board) -> None:
    names = tuple(f"t{number}" for number in range(50))
    for number, name in enumerate(names):
        noted(board, 0, name, float(number))
    found = told(board, seen(board, (*names, "never seen")))
    shown = [labels for labels in found if labels[0] == "penstock_tenant_wait_seconds_total"]
    assert len(shown) == MOST_TENANTS
    assert found["penstock_tenant_wait_seconds_total", "chat", "t49"] == 49.0
    assert ("penstock_tenant_waited_total", "chat", "t3") not in found
