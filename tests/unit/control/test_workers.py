"""Workers: started, restarted when they end, watched, stopped. Played by ``fake_worker.py``."""

import asyncio
import os
import signal

import pytest

from penstock.control.events import Events
from penstock.control.workers.ended import describe_exit, forget_running
from penstock.control.workers.sockets import ListeningSockets
from penstock.control.workers.workers import StartError, Workers
from penstock.core.snapshot import Snapshot
from penstock.dataplane.board.layout import (
    H_ENDPOINT_ROWS_USED,
    H_POOL_ROWS_USED,
    L_ADDRESS,
    L_BREAKER,
    L_CONSECUTIVE_FAILURES,
    L_DECODING,
    L_IN_FLIGHT,
    L_KV_TOKENS,
    L_PENDING_PREFILL,
    L_REQUESTS,
    P_WAITING,
    W_ACCEPTED,
    W_CONNECTIONS,
)
from penstock.dataplane.board.memory import Board
from tests.unit.control.waiting import until
from tests.unit.control.worlds import listener, world

GAUGES = (L_PENDING_PREFILL, L_KV_TOKENS, L_DECODING, L_BREAKER, L_ADDRESS)
FIRST = world({"a": ["x"]}, generation=1)
DEADLY: Snapshot = world({"deadly": ["x"]}, generation=2)


def kinds(events: Events) -> list[str]:
    return [event.kind for event in events.recent(100)]


async def test_all_run_the_first_snapshot_when_start_returns(workers: Workers) -> None:
    await workers.start(FIRST)
    assert [worker.state for worker in workers.all] == ["ready", "ready"]
    assert workers.acknowledged == 1
    assert len(set(workers.pids)) == 2


async def test_every_worker_answers_a_question_and_one_that_died_is_left_out(
    workers: Workers,
) -> None:
    await workers.start(FIRST)
    asked = [workers.ask_all({"kind": "decisions"}) for _ in range(3)]
    for answers in await asyncio.gather(*asked):
        assert sorted(str(answer["records"]) for answer in answers) == ["[0]", "[1]"]
    os.kill(workers.pids[0], signal.SIGKILL)
    assert [1] in [answer["records"] for answer in await workers.ask_all({"kind": "decisions"})]


async def test_workers_are_out_of_reach_of_the_terminals_ctrl_c(workers: Workers) -> None:
    await workers.start(FIRST)
    assert os.getpgid(workers.pids[0]) not in (os.getpgid(0), os.getpgid(workers.pids[1]))


async def test_workers_share_the_processors_with_their_host_as_processes_not_as_sessions(
    workers: Workers,
) -> None:
    await workers.start(FIRST)
    assert {os.getsid(pid) for pid in workers.pids} == {os.getsid(0)}


async def test_a_killed_worker_is_replaced_at_once_and_the_others_stay(
    workers: Workers, board: Board, events: Events
) -> None:
    await workers.start(FIRST)
    first, second = workers.pids
    os.kill(first, signal.SIGKILL)
    await until(lambda: workers.all[0].restarts == 1, "the end was noticed")
    assert board.cells[board.worker(0) + W_CONNECTIONS] == 0, "nobody is connected to the dead"
    await until(lambda: workers.all[0].state == "ready", "the successor serves")
    assert workers.pids[0] != first
    assert workers.pids[1] == second
    said = [event.message for event in events.recent(9) if event.kind == "worker.ended"]
    assert said == ["worker 0 was killed by SIGKILL; restarting it at once"]


async def test_a_successor_starts_with_the_newest_snapshot(
    workers: Workers, sockets: ListeningSockets
) -> None:
    await workers.start(FIRST)
    main = listener()
    sockets.open([main])
    newest = world({"a": ["x"]}, generation=2, listeners=[main])
    assert await workers.publish(newest) == {}
    os.kill(workers.pids[1], signal.SIGKILL)
    await until(lambda: workers.all[1].restarts == 1, "the end was noticed")
    await until(lambda: workers.acknowledged == 2, "all run generation 2")


async def test_a_snapshot_published_while_a_worker_is_away_reaches_its_successor(
    workers: Workers,
) -> None:
    await workers.start(FIRST)
    os.kill(workers.pids[0], signal.SIGKILL)
    await workers.publish(world({"a": ["x"]}, generation=2))
    await workers.publish(world({"a": ["x"]}, generation=3))
    await until(lambda: workers.acknowledged == 3, "all run generation 3")


async def test_a_worker_that_ends_while_a_snapshot_is_published_takes_it_as_successor(
    workers: Workers,
) -> None:
    await workers.start(FIRST)
    dying = workers.all[0]

    def end() -> None:
        assert dying.process is not None
        dying.process.kill()
        dying.process = None

    publishing = asyncio.ensure_future(workers.publish(world({"a": ["x"]}, generation=2)))
    # Runs after the ready workers were looked up, before the first of them is told.
    asyncio.get_running_loop().call_soon(end)
    assert await publishing == {}
    await until(lambda: workers.acknowledged == 2, "all run generation 2")


async def test_a_refusal_is_returned_with_its_reason(workers: Workers) -> None:
    await workers.start(FIRST)
    refused = await workers.publish(world({"refused-by-1": ["x"]}, generation=2))
    assert refused == {1: "it does not please"}


async def test_workers_that_refuse_the_first_snapshot_fail_the_start(workers: Workers) -> None:
    with pytest.raises(StartError, match="refused its first snapshot: it does not please"):
        await workers.start(world({"refused-by-1": ["x"]}, generation=1))
    assert workers.pids == []


async def test_workers_that_end_at_once_fail_the_start(workers: Workers) -> None:
    with pytest.raises(StartError, match=r"worker \d ended with code 3"):
        await workers.start(world({"deadly": ["x"]}, generation=1))


async def test_a_command_that_is_not_there_fails_the_start(
    board: Board, sockets: ListeningSockets, events: Events
) -> None:
    workers = Workers(board, sockets, events, command=("/nonexistent/python",))
    with pytest.raises(StartError, match="could not be started"):
        await workers.start(FIRST)


async def test_workers_that_keep_ending_are_restarted_ever_slower(
    workers: Workers, events: Events
) -> None:
    await workers.start(FIRST)
    await workers.publish(DEADLY)
    await until(lambda: workers.all[0].restarts >= 4, "it was restarted four times")
    assert pauses(events)[:4] == ["at once", "in 0.1 s", "in 0.2 s", "in 0.4 s"]


async def test_however_long_it_takes_to_start_a_worker_that_never_served_ended_at_start(
    workers: Workers, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here every start takes longer than what counts as a steady run."""
    monkeypatch.setattr("penstock.control.workers.workers._STEADY_S", 0.0)
    await workers.start(FIRST)
    await workers.publish(DEADLY)
    await until(lambda: workers.all[0].restarts >= 4, "it was restarted four times")
    assert pauses(events)[:4] == ["at once", "at once", "in 0.1 s", "in 0.2 s"]


def pauses(events: Events) -> list[str]:
    """Before each restart of the first worker."""
    return [
        event.message.rpartition("restarting it ")[2]
        for event in events.recent(100)
        if event.kind == "worker.ended" and event.fields["worker"] == 0
    ]


async def test_a_worker_that_stands_still_is_killed_and_replaced(
    workers: Workers, events: Events
) -> None:
    await workers.start(FIRST)
    first = workers.pids[0]
    watching = asyncio.create_task(workers.watch(every_s=0.1))
    os.kill(first, signal.SIGSTOP)
    await until(lambda: workers.pids[:1] != [first] and "worker.killed" in kinds(events), "killed")
    watching.cancel()
    await until(lambda: workers.all[0].state == "ready", "the successor serves")
    assert workers.all[1].restarts == 0, "the other's heart beat all the time"


async def test_stop_lets_workers_end_by_themselves(workers: Workers, events: Events) -> None:
    await workers.start(FIRST)
    await workers.stop(deadline_s=30.0)
    assert [worker.state for worker in workers.all] == ["ended", "ended"]
    assert "workers.late" not in kinds(events)
    assert all(worker.restarts == 0 for worker in workers.all)


async def test_a_worker_that_does_not_stop_in_time_is_killed(
    workers: Workers, events: Events
) -> None:
    await workers.start(world({"stubborn": ["x"]}, generation=1))
    await workers.stop(deadline_s=0.0)
    assert "workers.late" in kinds(events)
    assert workers.pids == []


def test_what_a_dead_worker_had_running_is_zeroed_and_its_totals_stay(board: Board) -> None:
    board.cells[H_ENDPOINT_ROWS_USED] = board.cells[H_POOL_ROWS_USED] = 4
    for worker in (0, 1):
        at = board.load(3, worker)
        board.cells[at + L_IN_FLIGHT] = 4
        for cell in (L_CONSECUTIVE_FAILURES, *GAUGES):
            board.cells[at + cell] = 2
        board.cells[board.pool(3, worker) + P_WAITING] = 5
        board.cells[at + L_REQUESTS] = 100
        board.cells[board.worker(worker) + W_CONNECTIONS] = 9
        board.cells[board.worker(worker) + W_ACCEPTED] = 50
        board.cells[board.address_slot(1, 17, worker)] = 3
    forget_running(board, 0)
    assert board.load_sum(3, L_IN_FLIGHT) == 4, "the other worker's"
    assert board.cells[board.load(3, 0) + L_CONSECUTIVE_FAILURES] == 0
    assert [board.load_sum(3, cell) for cell in GAUGES] == [2] * len(GAUGES), "the other worker's"
    assert board.pool_sum(3, P_WAITING) == 5
    assert board.load_sum(3, L_REQUESTS) == 200
    assert board.worker_sum(W_CONNECTIONS) == 9
    assert board.worker_sum(W_ACCEPTED) == 100
    assert [board.cells[board.address_slot(1, 17, worker)] for worker in (0, 1)] == [0, 3]


@pytest.mark.parametrize(
    ("code", "text"),
    [(0, "ended with code 0"), (-11, "was killed by SIGSEGV"), (-99, "was killed by signal 99")],
)
def test_exit_codes_are_told_to_people(code: int, text: str) -> None:
    assert describe_exit(code) == text
