"""A well-behaved HTTP/1.1 endpoint that records what it is asked. h11 judges what reaches it."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

import h11

from tests.harness.endpoint import EndpointConnection, PeerGone, ScriptedEndpoint
from tests.harness.headers import Headers
from tests.harness.waiting import wait_until

_MAX_EVENT = 4 * 1024 * 1024


@dataclass
class Recorded:
    """A request as the endpoint got it. ``whole`` is false when it broke off."""

    method: str
    target: str
    version: str
    headers: Headers
    connection: int
    body: bytes = b""
    trailers: Headers = field(default_factory=Headers)
    whole: bool = False


@dataclass
class Answer:
    """What to answer. ``chunks`` are sent one by one in place of ``body``, chunked."""

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    chunks: tuple[bytes, ...] | None = None
    trailers: tuple[tuple[str, str], ...] = ()
    interim: tuple[tuple[int, tuple[tuple[str, str], ...]], ...] = ()


class HttpEndpoint(ScriptedEndpoint):
    """``requests`` holds every request whose head came, in order of arrival."""

    def __init__(
        self,
        answer: Callable[[Recorded], Answer] | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.requests: list[Recorded] = []
        self.answer: Callable[[Recorded], Answer] = answer or self._own_name
        super().__init__(self._serve, tls=tls, host=host)

    @property
    def last(self) -> Recorded:
        return self.requests[-1]

    def wait_for_requests(self, count: int) -> list[Recorded]:
        """The first ``count`` requests, once they are whole."""
        wait_until(
            lambda: sum(request.whole for request in self.requests) >= count,
            f"{self.name} got {count} requests",
        )
        return self.requests[:count]

    def forget(self) -> None:
        self.requests = []
        super().forget()

    def _own_name(self, request: Recorded) -> Answer:
        return Answer(body=self.name.encode())

    def _serve(self, connection: EndpointConnection) -> None:
        protocol = h11.Connection(h11.SERVER, max_incomplete_event_size=_MAX_EVENT)
        while True:
            request = self._receive(protocol, connection)
            _send_answer(protocol, connection, request, self.answer(request))
            if protocol.our_state is not h11.DONE or protocol.their_state is not h11.DONE:
                return
            protocol.start_next_cycle()

    def _next_event(self, protocol: h11.Connection) -> object:
        try:
            return protocol.next_event()
        except h11.RemoteProtocolError as error:
            rest, _ = protocol.trailing_data
            raise AssertionError(
                f"{self.name} was sent what is no request: {rest[:500]!r}"
            ) from error

    def _receive(self, protocol: h11.Connection, connection: EndpointConnection) -> Recorded:
        request: Recorded | None = None
        body: list[bytes] = []
        while True:
            event = self._next_event(protocol)
            if event is h11.NEED_DATA:
                if protocol.they_are_waiting_for_100_continue:
                    _send(
                        protocol, connection, h11.InformationalResponse(status_code=100, headers=[])
                    )
                data = connection.receive()
                if not data:
                    raise PeerGone
                protocol.receive_data(data)
            elif isinstance(event, h11.Request):
                request = _record(event, connection)
                self.requests.append(request)
            elif isinstance(event, h11.Data):
                body.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                assert request is not None
                request.body = b"".join(body)
                request.trailers = Headers(event.headers)
                request.whole = True
                return request
            else:
                raise PeerGone


def _record(event: h11.Request, connection: EndpointConnection) -> Recorded:
    return Recorded(
        method=event.method.decode(),
        target=event.target.decode("latin-1"),
        version=event.http_version.decode(),
        headers=Headers(event.headers),
        connection=connection.number,
    )


def _send_answer(
    protocol: h11.Connection, connection: EndpointConnection, request: Recorded, answer: Answer
) -> None:
    for status, fields in answer.interim:
        interim = h11.InformationalResponse(status_code=status, headers=list(fields))
        _send(protocol, connection, interim)
    headers = list(answer.headers)
    chunks = (answer.body,) if answer.chunks is None else answer.chunks
    if answer.chunks is None and answer.status not in (204, 304):
        headers.append(("Content-Length", str(len(answer.body))))
    elif answer.chunks is not None:
        headers.append(("Transfer-Encoding", "chunked"))
    _send(protocol, connection, h11.Response(status_code=answer.status, headers=headers))
    if request.method != "HEAD":
        for chunk in chunks:
            if chunk:
                _send(protocol, connection, h11.Data(chunk))
    _send(protocol, connection, h11.EndOfMessage(headers=list(answer.trailers)))


def _send(protocol: h11.Connection, connection: EndpointConnection, event: h11.Event) -> None:
    data = protocol.send(event)
    if data:
        connection.send(data)
