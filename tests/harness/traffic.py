"""Clients that ask again and again while the test does something to the balancer."""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

import h11

from tests.harness.client import Client, IncompleteResponse
from tests.harness.waiting import PATIENCE_S, wait_until

_REQUESTS_PER_CONNECTION = 20
_ERRORS = (OSError, AssertionError, h11.ProtocolError)


class Traffic:
    """GET / from several clients at once. ``failures`` must be empty in the end.

    As every good client does, these ask once more, on another connection, when one that was used
    before ends before any byte of the response (RFC 9110, 9.2.2). ``connect``: one of another kind.
    """

    def __init__(
        self,
        address: tuple[str, int] | str,
        clients: int = 3,
        connect: Callable[[], Client] | None = None,
    ) -> None:
        self.answered = 0
        self.failures: list[str] = []
        self._connect = connect or (lambda: Client(address, timeout_s=2 * PATIENCE_S))
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask_on, daemon=True) for _ in range(clients)]

    def wait_for_more(self, requests: int) -> None:
        """Return when so many more requests were answered."""
        goal = self.answered + requests
        wait_until(
            lambda: self.answered >= goal or bool(self.failures),
            f"{requests} more requests were answered",
            timeout_s=6 * PATIENCE_S,
        )
        assert self.failures == []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(3 * PATIENCE_S)
        if error is None:
            assert self.failures == [], f"{len(self.failures)} failed: {self.failures[:3]}"
            assert self.answered > 0

    def _ask_on(self) -> None:
        while not self._stop.is_set():
            try:
                self._use_a_connection()
            except _ERRORS as error:
                self.failures.append(repr(error))
                return

    def _use_a_connection(self) -> None:
        with self._connect() as client:
            for number in range(_REQUESTS_PER_CONNECTION):
                if self._stop.is_set():
                    return
                try:
                    response = client.get()
                except IncompleteResponse as error:
                    if number == 0 or error.partial.status:
                        raise
                    return  # let go between two requests
                except (BrokenPipeError, ConnectionResetError):
                    if number == 0:
                        raise
                    return
                assert response.status == 200, response
                self.answered += 1
                if response.closes:
                    return
