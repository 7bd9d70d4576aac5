"""The responses of one client's WebSocket: of each lane one runs, and what is behind it waits."""

from penstock.dataplane.exchange.event_sockets.routed_response import RoutedResponse


class Lanes:
    """``most`` run and wait together, and so many bytes wait."""

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most: int = most
        self._most_bytes: int = most_bytes
        self._running: dict[str, RoutedResponse] = {}
        self._waiting: list[tuple[str, bytes]] = []  # lanes, and what is asked for on them

    def why_not(self, lane: str, message: bytes) -> str:
        """Why no more may be asked for; "" where it may."""
        if len(self._running) + len(self._waiting) >= self._most:
            return f"a WebSocket may wait for {self._most} responses at once"
        waiting = sum([len(each) for _, each in self._waiting])
        if lane in self._running and waiting + len(message) > self._most_bytes:
            return f"messages that wait may have {self._most_bytes} bytes"
        return ""

    def is_busy(self, lane: str) -> bool:
        """Whether one runs there."""
        return lane in self._running

    def is_idle(self) -> bool:
        """Whether none runs anywhere."""
        return not self._running

    def wait(self, lane: str, message: bytes) -> None:
        """Ask for that once its turn has come."""
        self._waiting.append((lane, message))

    def run(self, response: RoutedResponse) -> None:
        """It is that lane's turn."""
        self._running[response.lane] = response

    def leave(self, lane: str) -> bytes:
        """Its response is over; what is to be asked for next there, b"" where nothing is."""
        self._running.pop(lane, None)
        for at, (each, message) in enumerate(self._waiting):
            if each == lane:
                del self._waiting[at]
                return message
        return b""

    def about(self, name: str) -> RoutedResponse | None:
        """The one of that name, or the only one."""
        running = list(self._running.values())
        for response in running:
            if name and response.events.name == name:
                return response
        return running[0] if len(running) == 1 else None

    def clear(self) -> list[RoutedResponse]:
        """Nothing waits any more; those that ran."""
        running = list(self._running.values())
        self._running = {}
        self._waiting = []
        return running
