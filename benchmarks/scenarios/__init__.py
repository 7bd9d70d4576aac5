"""What a measurement is: one file each. The order is that of the report."""

from benchmarks.scenarios.endpoints import Endpoints
from benchmarks.scenarios.http2 import GrpcCall, Http2Request, Http2TlsRequest
from benchmarks.scenarios.idle import IdleConnections
from benchmarks.scenarios.language_models import LongPrompt, ShortChat
from benchmarks.scenarios.open_streams import OpenStreams
from benchmarks.scenarios.relays import (
    IdleTunnel,
    TcpConnection,
    TcpMegabyte,
    TcpMessage,
    WebSocketMessage,
)
from benchmarks.scenarios.request import Request, TlsRequest
from benchmarks.scenarios.scenario import Bench, Case, Sample, Scenario
from benchmarks.scenarios.stream import StreamedChunk
from benchmarks.scenarios.udp import UdpDatagram
from benchmarks.scenarios.workers import Workers

__all__ = ["Bench", "Case", "Sample", "Scenario", "all_scenarios"]


def all_scenarios() -> list[Scenario]:
    return [
        Request(),
        TlsRequest(),
        StreamedChunk(),
        IdleConnections(),
        Workers(),
        Endpoints(),
        OpenStreams(),
        ShortChat(),
        LongPrompt(),
        Http2Request(),
        Http2TlsRequest(),
        GrpcCall(),
        WebSocketMessage(),
        IdleTunnel(),
        TcpMessage(),
        TcpConnection(),
        TcpMegabyte(),
        UdpDatagram(),
    ]
