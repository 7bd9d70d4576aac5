"""Probes of endpoints' load, for policies that decide by what endpoints answer when asked.

A probe is a GET on a connection to the endpoint like any other. It is no request: it opens no
ticket, counts nowhere but here, and one that fails says nothing, as health checks are there for
that.
"""

from typing import Final

from penstock.core import snapshot
from penstock.core.env import Env
from penstock.core.measure.load_report import LoadReport
from penstock.core.policy.base import Policy
from penstock.dataplane.board.counters import PoolCounters
from penstock.dataplane.board.layout import P_PROBES, P_PROBES_FAILED
from penstock.dataplane.endpoint.connecting import connect_http
from penstock.dataplane.endpoint.http1 import Http1Connection
from penstock.dataplane.endpoint.idle_connections import take_idle
from penstock.dataplane.endpoint.response_sink import ResponseSink
from penstock.dataplane.endpoint.stream import EndpointStream
from penstock.dataplane.io.loop import Loop, report_bug
from penstock.dataplane.pool.live_endpoint import LiveEndpoint
from penstock.wire.forwarding import edited
from penstock.wire.http1 import Field, ResponseHead
from penstock.wire.probe_answer import probe_answer

_FIELDS: Final[list[Field]] = [
    (b"user-agent", b"User-Agent", b"penstock-probe"),
    (b"accept", b"Accept", b"application/json"),
    (b"endpoint-load-metrics-format", b"Endpoint-Load-Metrics-Format", b"TEXT"),
]
MAX_ANSWER_BYTES: Final = 4096
# On their way to one endpoint at a time: one that does not answer must not gather them.
MAX_UNANSWERED: Final = 8


class LoadProber:
    """A pool's probes in one worker."""

    def __init__(
        self, spec: snapshot.Probe, policy: Policy, counters: PoolCounters, loop: Loop
    ) -> None:
        self.spec: snapshot.Probe = spec
        self.policy: Policy = policy
        self._counters: PoolCounters = counters
        self._loop: Loop = loop
        self.env: Env = loop.env
        self._path: bytes = spec.path.encode("latin-1")
        self._unanswered: dict[LiveEndpoint, int] = {}

    def send_due(self, env: Env) -> None:
        """Send the probes that the policy wants for the request at hand."""
        for endpoint in self.policy.probes_wanted(env):
            assert isinstance(endpoint, LiveEndpoint)
            self._send(endpoint)

    def _send(self, endpoint: LiveEndpoint) -> None:
        unanswered = self._unanswered.get(endpoint, 0)
        self._counters.bump(P_PROBES)
        if unanswered >= MAX_UNANSWERED:
            self._counters.bump(P_PROBES_FAILED)
            return
        probe = Probe(self, endpoint)
        self._unanswered[endpoint] = unanswered + 1
        if endpoint.connector.idle:
            # A probe is not repeated.
            idle = take_idle(endpoint.connector, self._loop.env.now, True)
            if idle is not None:
                probe.send(idle)
                return
        try:
            connection = connect_http(endpoint.connector)
        except OSError:
            self.ended(endpoint, None)
            return
        probe.await_connection(connection)

    def request(self, endpoint: LiveEndpoint) -> bytes:
        """What a probe sends."""
        fields = edited([*_FIELDS, (b"host", b"Host", endpoint.host_header)], endpoint.edits)
        lines = b"\r\n".join([b"%b: %b" % (name, value) for _, name, value in fields])
        return b"GET %b%b HTTP/1.1\r\n%b\r\n\r\n" % (endpoint.base_path, self._path, lines)

    def ended(self, endpoint: LiveEndpoint, report: LoadReport | None) -> None:
        """A probe was answered, or failed."""
        left = self._unanswered.get(endpoint, 0) - 1
        if left > 0:
            self._unanswered[endpoint] = left
        else:
            self._unanswered.pop(endpoint, None)
        if report is None:
            self._counters.bump(P_PROBES_FAILED)
            return
        try:
            self.policy.on_report(endpoint, report)
        except Exception:  # noqa: BLE001 - a user's policy must not break the endpoint's connection
            report_bug(f"in the policy {self.policy.name}, told of a probe")


class Probe(ResponseSink):
    """One of them, until it is answered."""

    def __init__(self, load_prober: LoadProber, endpoint: LiveEndpoint) -> None:
        self._load_prober: LoadProber = load_prober
        self._endpoint: LiveEndpoint = endpoint
        self._connection: Http1Connection | None = None
        self._fields: list[Field] = []
        self._status: int = 0
        self._body: bytes = b""

    def await_connection(self, connection: Http1Connection) -> None:
        """Send once this is there."""
        self._connection = connection
        connection.sink = self
        connection.arm(self._load_prober.spec.timeout_s)

    def send(self, connection: Http1Connection) -> None:
        """Send now."""
        self._connection = connection
        connection.begin(self, False, 0.0)
        connection.request_sent = True
        connection.arm(self._load_prober.spec.timeout_s)
        connection.send(self._load_prober.request(self._endpoint))

    def on_connected(self) -> None:
        connection = self._connection
        assert connection is not None
        self.send(connection)

    def on_stream_replaced(self, stream: object) -> None:
        """It speaks HTTP/2, over which endpoints are not asked for their load."""
        assert isinstance(stream, EndpointStream)
        self._connection = None
        stream.give_up()
        self._load_prober.ended(self._endpoint, None)

    def on_interim(self, head: ResponseHead) -> None:
        pass

    def frame_response(self, head: ResponseHead) -> bool:
        return False

    def on_response(self, head: ResponseHead, body: bytes, complete: bool) -> None:
        self._fields = head.fields
        self._status = head.status
        self.on_body(body, complete)

    def on_body(self, data: bytes, complete: bool) -> None:
        self._body += data
        if len(self._body) > MAX_ANSWER_BYTES:
            connection = self._connection
            if connection is not None and not complete:
                connection.give_up()
            self._end(None)
        elif complete:
            self._end(self._report())

    def on_endpoint_failed(self, outcome: int, reason: str) -> None:
        self._end(None)

    def on_endpoint_drained(self) -> None:
        pass

    def on_crash(self) -> None:
        connection = self._connection
        if connection is not None:
            connection.give_up()
        self._end(None)

    def _report(self) -> LoadReport | None:
        if self._status != 200:
            return None
        in_flight, latency_s = probe_answer(self._fields, self._body)
        if in_flight < 0.0:
            return None
        return LoadReport(self._load_prober.env.now, in_flight=in_flight, latency_s=latency_s)

    def _end(self, report: LoadReport | None) -> None:
        if self._connection is not None:
            self._connection = None
            self._load_prober.ended(self._endpoint, report)
