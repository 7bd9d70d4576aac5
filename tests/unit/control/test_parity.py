"""Prefix hits that do not come true are said, told to workers, and taken back."""

from penstock.control.endpoints.parity import ParityWatch
from penstock.control.endpoints.states import EndpointStates
from penstock.control.events import Events
from penstock.core.prefixes.parity import ENOUGH_TOKENS
from penstock.dataplane.board.layout import (
    H_EPOCH,
    L_JUDGED_CACHED,
    L_JUDGED_PREDICTED,
    L_JUDGED_PROMPT,
    S_HIT_DISTRUST_PPM,
)
from penstock.dataplane.board.memory import Board
from tests.unit.control.worlds import endpoint, pool, world


def test_the_parting_and_the_agreement_are_said_once(board: Board, events: Events) -> None:
    states = EndpointStates(board, events)
    watch = ParityWatch(board, states)
    snapshot = world([pool("a", endpoints=(endpoint("e", row=2),), kind="llm")])
    states.add_new(snapshot.pools)
    states.configure(snapshot.pools)
    watch.configure(snapshot)

    def judged(predicted: int, cached: int, worker: int = 0) -> None:
        at = board.load(2, worker)
        board.cells[at + L_JUDGED_PROMPT] += ENOUGH_TOKENS
        board.cells[at + L_JUDGED_PREDICTED] += predicted
        board.cells[at + L_JUDGED_CACHED] += cached
        watch.refresh()

    before = board.cells[H_EPOCH]
    judged(ENOUGH_TOKENS, 0)
    assert board.cells[board.state(2) + S_HIT_DISTRUST_PPM] == 1_000_000
    assert board.cells[H_EPOCH] > before
    judged(ENOUGH_TOKENS, ENOUGH_TOKENS // 4, worker=1)
    assert states.of("a", "e").hit_distrust == 0.75
    judged(ENOUGH_TOKENS, ENOUGH_TOKENS)
    assert board.cells[board.state(2) + S_HIT_DISTRUST_PPM] == 0
    said = [event for event in events.recent(10) if event.kind.startswith("prefix.")]
    assert [event.kind for event in said] == ["prefix.parted", "prefix.agrees"]
    assert "100% of prompt tokens were predicted to be cached, 0% were" in said[0].message
