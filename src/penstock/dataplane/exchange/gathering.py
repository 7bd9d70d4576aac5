"""One question to all endpoints of a pool, whose answers are one list: Ollama's tags and processes.

Each engine tells the models that it has, or has loaded; behind a balancer they are one engine. Like
probes they open no tickets: they are no work. An endpoint that does not answer in time, or with an
error, is left out; where none answers, the first error is told.
"""

from typing import Final

import msgspec
from mypy_extensions import trait

from penstock.core.env import Env
from penstock.core.pool.eligible import is_available
from penstock.dataplane.endpoint.connecting import connect
from penstock.dataplane.endpoint.idle_connections import take_idle
from penstock.dataplane.endpoint.response_sink import ResponseSink
from penstock.dataplane.endpoint.stream import EndpointStream
from penstock.dataplane.exchange.answers import Answer, json_answer
from penstock.dataplane.exchange.clearance import Clearance
from penstock.dataplane.io.loop import report_bug
from penstock.dataplane.pool.live_endpoint import LiveEndpoint
from penstock.dataplane.route.plan import PoolPlan
from penstock.wire import openai_bodies as bodies
from penstock.wire.forwarding import ForwardedHead
from penstock.wire.http1 import ResponseHead

_PATIENCE_S: Final = 2.0  # for an engine's answer; it is made of what it has in memory
MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024


@trait
class GatheringOwner:
    """Whoever asked: an exchange."""

    def has_ended(self) -> bool:
        """Whether nobody waits for the answer any more."""
        raise NotImplementedError

    def give(self, answer: Answer, ended: str) -> None:
        """What all endpoints say together. ``ended``: how, in one word, for the log."""
        raise NotImplementedError

    def refuse(
        self, status: int, message: str, why: str = "", retry_after_s: int = 1, kind: str = ""
    ) -> None:
        """None answered."""
        raise NotImplementedError


class Gathering:
    """One of them, until all have answered."""

    def __init__(
        self, owner: GatheringOwner, plan: PoolPlan, clearance: Clearance | None, request_id: bytes
    ) -> None:
        """``clearance``: of who asks, which says what may be shown."""
        self._owner: GatheringOwner = owner
        self._clearance: Clearance | None = clearance
        self._plan: PoolPlan = plan
        self._request_id: bytes = request_id
        self._left: int = 1  # one for itself, until all were asked
        self._found: dict[str, object] = {}
        self._answered: bool = False
        self._status: int = 502
        self._error: bytes = b""

    def begin(self, env: Env) -> None:
        """Ask all that are available."""
        plan = self._plan
        for endpoint in plan.pool.members:
            if is_available(endpoint):
                self._left += 1
                head = plan.forwarded(endpoint)
                _Inquiry(self, endpoint, head, self._request_id).begin(env.now)
        self.ended(0, b"")

    def ended(self, status: int, body: bytes) -> None:
        """One has answered, with status 0 not at all."""
        if status == 200:
            try:
                for model in bodies.ollamas_models.decode(body).models or ():
                    self._found.setdefault(str(model.get("name") or model.get("model")), model)
                self._answered = True
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                pass  # it is no list: as if it had not answered
        elif status and not self._error:
            self._status = status
            self._error = body
        self._left -= 1
        if self._left or self._owner.has_ended():
            return
        if self._answered:
            told = msgspec.json.encode({"models": list(self._found.values())})
            if self._clearance is not None:
                told = self._clearance.shown(told)
            self._owner.give(json_answer(200, told), "done")
        elif self._error:
            self._owner.give(json_answer(self._status, self._error), "done")
        else:
            self._owner.refuse(502, "no endpoint answered")


class _Inquiry(ResponseSink):
    """What one endpoint is asked."""

    def __init__(
        self,
        gathering: Gathering,
        endpoint: LiveEndpoint,
        head: ForwardedHead,
        request_id: bytes,
    ) -> None:
        self._gathering: Gathering | None = gathering
        self._endpoint: LiveEndpoint = endpoint
        self._head: ForwardedHead = head
        self._request_id: bytes = request_id
        self._stream: EndpointStream | None = None
        self._status: int = 0
        self._body: bytes = b""

    def begin(self, now: float) -> None:
        """Send it, on an idle connection or a fresh one."""
        endpoint = self._endpoint
        if endpoint.connector.idle:
            idle = take_idle(endpoint.connector, now, True)  # it is not repeated
            if idle is not None:
                self._stream = idle
                self.on_connected()
                return
        try:
            stream = connect(endpoint.connector)
        except OSError:
            self._end(0)
            return
        self._stream = stream
        stream.await_connection(self, 0.0)
        stream.arm(endpoint.connector.settings.connect_s)

    def on_connected(self) -> None:
        stream = self._stream
        assert stream is not None
        stream.begin(self, False, 0.0)
        stream.arm(_PATIENCE_S)
        stream.send_request(self._head, self._request_id, b"", True)

    def on_stream_replaced(self, stream: object) -> None:
        assert isinstance(stream, EndpointStream)
        self._stream = stream

    def on_interim(self, head: ResponseHead) -> None:
        pass

    def frame_response(self, head: ResponseHead) -> bool:
        return False

    def on_response(self, head: ResponseHead, body: bytes, complete: bool) -> None:
        self._status = head.status
        self.on_body(body, complete)

    def on_body(self, data: bytes, complete: bool) -> None:
        self._body += data
        if complete:
            self._end(self._status)
        elif len(self._body) > MAX_ANSWER_BYTES:
            self.on_crash()

    def on_endpoint_failed(self, outcome: int, reason: str) -> None:
        self._end(0)

    def on_endpoint_drained(self) -> None:
        pass

    def on_crash(self) -> None:
        if self._stream is not None:
            self._stream.give_up()
        self._end(0)

    def _end(self, status: int) -> None:
        gathering = self._gathering
        self._gathering = None
        self._stream = None
        if gathering is None:
            return
        try:
            gathering.ended(status, self._body)
        except Exception:  # noqa: BLE001 - the endpoint's connection is not to suffer for it
            report_bug("while answers of all endpoints were put together")
