"""Two that count themselves in at the same moment are never too many: each counts, then looks."""

from penstock.core.admission import create_limit
from penstock.core.admission.peers import Peers
from penstock.core.admission.queue import AdmissionQueue
from penstock.core.admission.scheduler import QueueEntry


class Rival(Peers):
    """Another one, which counts itself in between this one's first look and its second."""

    def __init__(self) -> None:
        self.told = 0
        self.there = 0

    def wait(self, count: int) -> None:
        self.told = count

    def run(self, count: int) -> None:
        self.told = count

    def waiting(self) -> int:
        return self.there

    def running(self) -> int:
        return self.there

    def meet(self) -> None:
        self.there = 1

    def count(self) -> int:
        return 1

    def learned(self) -> list[float] | None:
        return None

    def teach(self, state: list[float]) -> None:
        """Nothing is learned."""


def test_of_two_that_join_a_queue_with_one_place_left_one_gives_way() -> None:
    queue = AdmissionQueue(1)
    rival = queue.peers = Rival()
    entry = QueueEntry("waits", 1e9)
    assert queue.push(entry, 1.0) is entry
    assert (rival.told, queue.waiting()) == (0, 0)


def test_of_two_that_take_the_last_place_under_a_limit_one_gives_way() -> None:
    limit = create_limit("aimd", {"initial": 1.0, "minimum": 1.0, "maximum": 1.0})
    rival = limit.peers = Rival()
    assert not limit.acquire()
    assert (rival.told, limit.in_flight) == (0, 0)


def test_one_that_comes_back_is_let_wait_however_many_do() -> None:
    queue = AdmissionQueue(1)
    queue.peers = Rival()
    queue.peers.meet()
    entry = QueueEntry("came back", 1e9, number=7)
    assert queue.push(entry, 1.0) is None
