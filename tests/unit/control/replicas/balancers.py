"""Several balancers' sharing, over a bus in place of a store, on a clock that is held."""

from collections.abc import Callable

from penstock.control.replicas.load_sharing import LoadSharing
from penstock.core.snapshot import Endpoint, Pool, Snapshot
from penstock.dataplane.board.layout import L_IN_FLIGHT, O_IN_FLIGHT
from penstock.dataplane.board.memory import Board, create_board

WORKERS = 2


class Bus:
    """Everything that is published, to all who listen; ``lossy`` loses what ``channel`` carries."""

    def __init__(self) -> None:
        self.now = 100.0
        self.balancers: list[Balancer] = []
        self.lost: Callable[[bytes], bool] = lambda channel: False
        self.published: list[tuple[bytes, bytes]] = []

    def clock(self) -> float:
        return self.now

    def publish(self, channel: bytes, data: bytes) -> None:
        self.published.append((channel, data))
        if not self.lost(channel):
            for each in self.balancers:
                if each.store.feed.connected and channel in each.store.heard:
                    each.store.heard[channel](data)

    def run(self, seconds: float) -> None:
        """Let time pass, in ticks of 5 ms."""
        for _ in range(round(seconds / 0.005)):
            self.now += 0.005
            for each in list(self.balancers):
                each.sharing.tick()


class FakeFeed:
    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.connected = True

    def publish(self, channel: bytes, data: bytes) -> bool:
        if self.connected:
            self._bus.publish(channel, data)
        return self.connected


class FakeStore:
    def __init__(self, bus: Bus) -> None:
        self.feed = FakeFeed(bus)
        self.heard: dict[bytes, Callable[[bytes], None]] = {}
        self.on_connected: list[Callable[[], None]] = []

    def channel(self, name: str) -> bytes:
        return name.encode()

    def listen(self, name: str, heard: Callable[[bytes], None]) -> None:
        self.heard[self.channel(name)] = heard


class Balancer:
    """A board as its workers write it, and what the supervisor shares of it."""

    def __init__(self, bus: Bus, name: str, ports: list[int], first_row: int = 0) -> None:
        self.board: Board = create_board(WORKERS, endpoint_rows=64, pool_rows=4)
        self.board.share()
        self.store = FakeStore(bus)
        self.sharing = LoadSharing(self.store, self.board, name, bus.clock)  # type: ignore[arg-type]
        self.rows = {port: first_row + index for index, port in enumerate(ports)}
        self.sharing.configure(snapshot(self.rows))
        self._bus = bus
        bus.balancers.append(self)

    def send(self, port: int, requests: int, worker: int = 0) -> None:
        """Its worker has so many in flight there."""
        self.board.cells[self.board.load(self.rows[port], worker) + L_IN_FLIGHT] = requests

    def sees(self, port: int) -> int:
        """What others have in flight there, as its workers see it."""
        value: int = self.board.cells[self.board.others(self.rows[port]) + O_IN_FLIGHT]
        return value

    def die(self) -> None:
        """It says nothing any more."""
        self._bus.balancers.remove(self)


def snapshot(rows: dict[int, int], pool: str = "main") -> Snapshot:
    endpoints = tuple(
        Endpoint(f"127.0.0.1:{port}", "127.0.0.1", port, row=row) for port, row in rows.items()
    )
    return Snapshot(0, (), (), (Pool(pool, endpoints=endpoints),))
