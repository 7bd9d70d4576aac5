"""What happens to a run that clients may be refused for."""

from random import Random

from penstock.core.health.health import DOWN, UP
from penstock.core.snapshot import Snapshot
from penstock.dataplane.board.layout import S_DRAINING, S_HEALTH
from penstock.dataplane.board.memory import Board
from tests.whole.book import Book
from tests.whole.http2 import Http2Client, Http2Endpoint
from tests.whole.kernel import Kernel
from tests.whole.ledger import Ledger
from tests.whole.party import Party
from tests.whole.worlds import ALL_ROWS, ROWS, Setting


class Disturbances:
    """Of an episode."""

    rng: Random
    kernel: Kernel
    book: Book
    board: Board
    ledger: Ledger
    setting: Setting
    parties: list[Party]
    rows: list[int]

    def random(self) -> float:
        return self.kernel.random()

    def turn(self) -> None:
        raise NotImplementedError

    def apply(self, snapshot: Snapshot, *listening: int) -> None:
        raise NotImplementedError

    def disturb(self) -> None:
        """Something that clients may be refused for."""
        roll = self.random()
        kernel = self.kernel
        party = self.rng.choice(self.parties) if self.parties else None
        if roll < 0.25 and party is not None:
            self.book.disturb(f"{party} that leaves")
            party.leave(self.rng.choice(("half-close", "close", "reset")))
        elif roll < 0.38 and isinstance(party, Http2Client) and party.waiting:
            self.book.disturb(f"{party} that cancels")
            party.cancel()
        elif roll < 0.38 and isinstance(party, Http2Endpoint) and party.may_refuse:
            self.book.disturb(f"{party} that resets a stream")
            party.refuse()
        elif roll < 0.42 and party is not None:
            kernel.note(party, "stops or begins to read")
            self.book.disturb("one who does not read")
            party.reading = not party.reading
        elif roll < 0.5:
            place = self.rng.choice(kernel.places)
            place.manner = self.rng.choice(("accept", "accept", "later", "refuse", "unreachable"))
            kernel.note("endpoint", place.row, "takes connections:", place.manner)
            self.book.disturb(f"endpoint {place.row}")
        elif roll < 0.65:
            row = kernel.below(ALL_ROWS)
            cell = self.board.state(row) + self.rng.choice((S_HEALTH, S_DRAINING))
            if cell == self.board.state(row) + S_HEALTH:
                self.board.cells[cell] = self.rng.choice((UP, UP, DOWN))
            else:
                self.board.cells[cell] = self.rng.choice((0, 0, 1))
            self.board.state_changed(row)
            kernel.note("endpoint", row, "has another state")
            self.book.disturb("a state")
        elif roll < 0.8:
            self.rows = sorted(self.rng.sample(range(ROWS), 1 + kernel.below(ROWS)))
            kernel.note("reload: endpoints", self.rows)
            self.book.disturb("a reload")
            if self.random() < 0.4:
                self.setting.change()
            self.apply(self.setting.snapshot(self.rows))
        elif roll < 0.82:
            self._disturb_owner()
        elif roll < 0.84:
            kernel.no_descriptors = not kernel.no_descriptors
            kernel.note("descriptors:", "none" if kernel.no_descriptors else "again")
            self.book.disturb("no descriptors")
        else:
            seconds = self.rng.choice((0.3, 1.0, 3.0, 11.0, 80.0))
            kernel.note(seconds, "s pass")
            self.book.disturb("time")
            self.pass_time(seconds)

    def _disturb_owner(self) -> None:
        """That of limits answers otherwise."""
        self.ledger.manner = self.rng.choice(("at once", "later", "not at all", "away"))
        self.kernel.note("the owner of limits answers", self.ledger.manner)
        self.book.disturb("an owner that may not answer")

    def pass_time(self, seconds: float) -> None:
        end = self.kernel.now + seconds
        while self.kernel.now < end:
            self.kernel.now = min(end, self.kernel.now + max(0.26, seconds / 8))
            self.turn()
