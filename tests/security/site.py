"""A balancer before one recording endpoint, and what a refusal must look like there."""

from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from penstock.core.snapshot import Limits
from tests.harness.client import Client, Response
from tests.harness.http_endpoint import HttpEndpoint
from tests.harness.waiting import wait_until
from tests.harness.worker import Worker
from tests.harness.world import NEVER_REPEAT, listener, pool, world


@dataclass(frozen=True)
class Case:
    """A row of the table: its number, a name, the bytes, and the statuses that answer them."""

    number: int
    name: str
    data: bytes = field(repr=False)
    statuses: tuple[int, ...] = (400,)

    def __str__(self) -> str:
        return f"case{self.number}-{self.name}"


# How many bytes at once; long inputs in longer pieces, so that a case stays quick.
Delivery = Callable[[Client, bytes], bool]


def whole(client: Client, data: bytes) -> bool:
    """All at once."""
    return client.send_while_open(data)


def bytewise(client: Client, data: bytes) -> bool:
    """In the smallest pieces."""
    return client.send_while_open(data, piece_bytes=1 if len(data) < 2000 else len(data) // 500)


DELIVERIES = (whole, bytewise)


class Site:
    """One worker and one endpoint, shared by the cases of a module."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.endpoint = HttpEndpoint()
        listening = listener(limits=limits or Limits())
        members = pool(self.endpoint, retry=NEVER_REPEAT)
        self.worker = Worker(world(members, listeners=[listening]))
        self._probes = 0

    def send(self, data: bytes, deliver: Delivery = whole) -> Response:
        """The answer to those bytes on a connection of their own, forgetting earlier requests."""
        self.endpoint.forget()
        with self.worker.connect() as client:
            deliver(client, data)
            return client.read_response()

    def refuse(self, data: bytes, deliver: Delivery = whole) -> Response:
        """The answer to those bytes, after which the connection must end."""
        self.endpoint.forget()
        with self.worker.connect() as client:
            deliver(client, data)
            response = client.read_response()
            assert response.closes, f"the refusal does not announce the end: {response}"
            client.expect_end()
        return response

    def wait_for_head(self) -> None:
        """Wait until the endpoint got a request's head."""
        wait_until(lambda: bool(self.endpoint.requests), "a head reached the endpoint")

    def probe(self) -> str:
        """Ask for something good on a new connection; its target, once answered."""
        self._probes += 1
        target = f"/probe-{self._probes}"
        with self.worker.connect() as client:
            assert client.get(target).status == 200
        return target

    def assert_nothing_was_forwarded(self) -> None:
        """Since the last ``send`` or ``refuse`` no byte reached the endpoint."""
        target = self.probe()
        lines = self.endpoint.received.split(b"\r\n")
        assert lines[0] == f"GET {target} HTTP/1.1".encode(), self.endpoint.received
        assert self.endpoint.requests_begun == 1, self.endpoint.received

    def assert_nothing_whole_was_forwarded(self) -> None:
        """No request since the last ``send`` was completed, and what was begun was broken off."""
        target = self.probe()
        seen = [request.target for request in self.endpoint.requests if request.whole]
        assert seen == [target], f"forwarded as whole: {seen}"
        for request in self.endpoint.requests:
            if not request.whole:
                self.endpoint.wait_for_end(request.connection)

    def __enter__(self) -> Self:
        self.worker.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.worker.__exit__(kind, error, trace)
        self.endpoint.close()
