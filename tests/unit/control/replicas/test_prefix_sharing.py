"""Prefixes routed and answers made are known to the workers of other balancers."""

import pytest

from penstock.core.prefixes.answer_endpoints import AnswerEndpoints
from penstock.core.prefixes.prefix_index import PrefixIndex
from penstock.core.request import Request
from penstock.core.snapshot import Endpoint
from penstock.dataplane.board.counted_endpoint import CountedEndpoint
from penstock.dataplane.llm.balancer_prefixes import JOURNAL
from penstock.dataplane.llm.routed_prefixes import Believer, RoutedPrefixes
from tests.unit.control.replicas.balancers import Balancer, Bus

A, B = 9001, 9002


class WorkerOf:
    """One worker of a balancer, as far as it believes in prefixes."""

    def __init__(self, balancer: Balancer) -> None:
        self.routed = RoutedPrefixes(balancer.board, 0)
        self.index = PrefixIndex(200_000)
        self.index.journal = self.routed
        self.answers = AnswerEndpoints()
        self.endpoints = {
            port: CountedEndpoint(
                Endpoint(f"127.0.0.1:{port}", "127.0.0.1", port, row=row), "main", balancer.board, 0
            )
            for port, row in balancer.rows.items()
        }

    def send(self, port: int, blocks: list[int]) -> None:
        self.index.insert(request(blocks), self.endpoints[port])

    def holds(self, port: int, blocks: list[int]) -> int:
        """Tokens of the prompt that it believes to be there."""
        believers = {
            each.row: Believer(each, self.index, self.answers) for each in self.endpoints.values()
        }
        for _ in range(64):  # as batches of events go by
            self.routed.refresh(believers)
        return self.index.matches(request(blocks), [self.endpoints[port]])[0]


def request(blocks: list[int]) -> Request:
    ends = [16 * (number + 1) for number in range(len(blocks))]
    return Request(blocks=blocks, block_ends=ends, prompt_tokens=16 * len(blocks))


@pytest.fixture
def bus() -> Bus:
    return Bus()


def test_what_one_sent_there_the_others_believe(bus: Bus) -> None:
    one, two = Balancer(bus, "one", [A, B]), Balancer(bus, "two", [B, A], first_row=7)
    first, second = WorkerOf(one), WorkerOf(two)
    bus.run(0.02)
    blocks = [11, (1 << 63) + 5, 13]
    first.send(A, blocks)
    first.routed.answered(77, first.endpoints[B])
    bus.run(0.02)
    assert second.holds(A, blocks) == 48
    assert second.holds(B, blocks) == 0
    assert second.answers.of(77) is second.endpoints[B]


def test_it_is_not_told_again_by_those_who_heard_it(bus: Bus) -> None:
    one, two = Balancer(bus, "one", [A]), Balancer(bus, "two", [A])
    first, second = WorkerOf(one), WorkerOf(two)
    bus.run(1.0)
    first.send(A, [1, 2, 3])
    bus.run(0.02)
    assert second.holds(A, [1, 2, 3]) == 48
    bus.published.clear()
    bus.run(1.0)
    assert sum(len(data) for _, data in bus.published) < 1000


def test_a_newcomer_learns_the_past_in_parts(bus: Bus) -> None:
    one = Balancer(bus, "one", [A])
    first = WorkerOf(one)
    for number in range(200):
        first.send(A, list(range(number * 100 + 1, number * 100 + 101)))
        bus.run(0.005)
    newcomer = Balancer(bus, "new", [A])
    worker = WorkerOf(newcomer)
    bus.published.clear()
    bus.run(1.0)
    for number in range(200):
        blocks = list(range(number * 100 + 1, number * 100 + 101))
        assert worker.holds(A, blocks) == 1600
    assert max(len(data) for _, data in bus.published) < 100_000


def test_what_was_missed_is_asked_for(bus: Bus) -> None:
    one, two = Balancer(bus, "one", [A]), Balancer(bus, "two", [A])
    first, second = WorkerOf(one), WorkerOf(two)
    bus.run(1.0)
    bus.lost = lambda channel: True
    first.send(A, [1, 2, 3])
    bus.run(0.05)
    bus.lost = lambda channel: False
    first.send(A, [7, 8])
    bus.run(1.0)
    assert second.holds(A, [7, 8]) == 32
    assert second.holds(A, [1, 2, 3]) == 48


def test_more_than_is_kept_is_forgotten_from_its_beginning(bus: Bus) -> None:
    one = Balancer(bus, "one", [A])
    first = WorkerOf(one)
    block = 1
    while block < JOURNAL + 20_000:
        first.send(A, list(range(block, block + 10_000)))
        block += 10_000
        bus.run(0.03)
    newcomer = Balancer(bus, "new", [A])
    worker = WorkerOf(newcomer)
    bus.run(2.0)
    assert worker.holds(A, list(range(block - 100, block))) == 1600


def test_when_the_store_is_gone_what_was_known_stays_and_what_was_missed_is_learned(
    bus: Bus,
) -> None:
    """Affinity: of 200 conversations, all that were known go where they went before."""
    one, two = Balancer(bus, "one", [A, B]), Balancer(bus, "two", [A, B])
    first, second = WorkerOf(one), WorkerOf(two)
    bus.run(0.5)
    conversations = [[100 * n + k for k in range(1, 9)] for n in range(200)]
    for blocks in conversations:
        first.send(A, blocks)
        bus.run(0.005)
    bus.run(0.05)
    for each in (one, two):
        each.store.feed.connected = False
    bus.run(2.0)
    assert two.sharing.others.views() == (), "nothing is known of its load any more"
    kept = sum(second.holds(A, blocks) == 128 for blocks in conversations)
    assert kept == 200
    first.send(B, [7, 8, 9])
    bus.run(0.05)
    assert second.holds(B, [7, 8, 9]) == 0
    for each in (one, two):
        each.store.feed.connected = True
        for told in each.store.on_connected:
            told()
    bus.run(1.5)
    assert second.holds(B, [7, 8, 9]) == 48
    assert len(two.sharing.others) == 1
