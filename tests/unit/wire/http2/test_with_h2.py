"""Our two roles with h2, an independent implementation, as the peer."""

from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest

from penstock.wire.http2.codes import CANCEL, REFUSED_STREAM
from penstock.wire.http2.header_block import request_block, response_block, trailer_block
from penstock.wire.http2.settings import Settings
from tests.unit.wire.http2.recording import Endpoint, get

REQUEST = [
    (b":method", b"POST"),
    (b":scheme", b"https"),
    (b":authority", b"example.com"),
    (b":path", b"/v1/things?x=1"),
    (b"user-agent", b"test/1.0"),
    (b"cookie", b"a=1"),
    (b"cookie", b"b=2"),
]


class Peer:
    """h2 on one side, ours on the other, and the wire between them."""

    def __init__(self, ours: Endpoint) -> None:
        self.ours = ours
        config = h2.config.H2Configuration(client_side=not ours.is_client, header_encoding=None)
        self.h2 = h2.connection.H2Connection(config)
        self.h2.initiate_connection()
        self.events: list[Any] = []

    def exchange(self) -> None:
        """Carry bytes both ways until neither side has any."""
        while True:
            there = self.h2.data_to_send()
            if there:
                self.ours.receive(there)
            back = self.ours.output()
            if back:
                self.events += self.h2.receive_data(back)
            if not there and not back:
                return

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
def against_client() -> Peer:
    peer = Peer(Endpoint(False))
    peer.exchange()
    return peer


@pytest.fixture
def against_server() -> Peer:
    peer = Peer(Endpoint(True))
    peer.exchange()
    return peer


def test_a_request_of_h2s_client_and_our_response_arrive_whole(against_client: Peer) -> None:
    peer = against_client
    peer.h2.send_headers(1, REQUEST)
    peer.h2.send_data(1, b"hello ")
    peer.h2.send_data(1, b"world")
    peer.h2.send_headers(1, [(b"x-checksum", b"1")], end_stream=True)
    peer.exchange()
    got = peer.ours.received[1]
    assert got.head is not None
    assert (got.head.method, got.head.path) == (b"POST", b"/v1/things?x=1")
    assert got.head.value(b"cookie") == b"a=1; b=2"
    assert got.content == b"hello world"
    assert got.trailers is not None
    assert got.trailers.value(b"x-checksum") == b"1"

    assert got.stream is not None
    connection = peer.ours.connection
    connection.send_interim(got.stream, response_block(103, [(b"link", b"link", b"</a>")]))
    connection.send_head(got.stream, response_block(200, [(b"server", b"server", b"us")]), False)
    got.send(b"answer", False)
    connection.send_trailers(got.stream, trailer_block([(b"x-end", b"x-end", b"yes")]))
    peer.exchange()
    assert [event.headers for event in peer.of(h2.events.ResponseReceived)] == [
        [(b":status", b"200"), (b"server", b"us")]
    ]
    assert len(peer.of(h2.events.InformationalResponseReceived)) == 1
    assert b"".join([event.data for event in peer.of(h2.events.DataReceived)]) == b"answer"
    assert peer.of(h2.events.TrailersReceived)[0].headers == [(b"x-end", b"yes")]
    assert len(peer.of(h2.events.StreamEnded)) == 1
    assert connection.streams == {}


def test_our_request_and_the_response_of_h2s_server_arrive_whole(against_server: Peer) -> None:
    peer = against_server
    block = request_block(
        b"PUT", b"http", b"inner", b"/x", [(b"content-length", b"content-length", b"4")]
    )
    ours = peer.ours.open(block, end=False)
    ours.send(b"body", True)
    peer.exchange()
    assert peer.of(h2.events.RequestReceived)[0].headers == [
        (b":method", b"PUT"),
        (b":scheme", b"http"),
        (b":authority", b"inner"),
        (b":path", b"/x"),
        (b"content-length", b"4"),
    ]
    peer.h2.send_headers(1, [(b":status", b"103")])
    peer.h2.send_headers(1, [(b":status", b"200"), (b"content-length", b"3")])
    peer.h2.send_data(1, b"yes")
    peer.h2.send_headers(1, [(b"grpc-status", b"0")], end_stream=True)
    peer.exchange()
    assert ours.head is not None
    assert ours.trailers is not None
    assert (ours.head.status, ours.content, ours.interims) == (200, b"yes", [103])
    assert ours.trailers.value(b"grpc-status") == b"0"
    assert peer.ours.connection.streams == {}


def test_a_megabyte_each_way_passes_the_windows(against_client: Peer) -> None:
    peer = against_client
    upload = bytes(range(256)) * 4096
    peer.h2.send_headers(1, REQUEST)
    sent = 0
    while sent < len(upload):
        room = min(peer.h2.local_flow_control_window(1), peer.h2.max_outbound_frame_size)
        if room:
            peer.h2.send_data(1, upload[sent : sent + room])
            sent += room
        peer.exchange()
    peer.h2.end_stream(1)
    peer.exchange()
    got = peer.ours.received[1]
    assert got.content == upload
    assert got.ended

    assert got.stream is not None
    peer.ours.connection.send_head(got.stream, response_block(200, []), False)
    got.send(upload, True)
    back = b""
    while not peer.of(h2.events.StreamEnded):
        peer.exchange()
        for event in peer.of(h2.events.DataReceived):
            back += event.data
            peer.h2.acknowledge_received_data(event.flow_controlled_length, 1)
        peer.events = peer.of(h2.events.StreamEnded)
    assert back == upload
    assert got.rooms > 10


def test_resets_and_goaway_are_understood_both_ways(against_client: Peer) -> None:
    peer = against_client
    for stream_id in (1, 3):
        peer.h2.send_headers(stream_id, REQUEST, end_stream=True)
    peer.exchange()
    peer.h2.reset_stream(1, CANCEL)
    first = peer.ours.received[1]
    third = peer.ours.received[3]
    peer.exchange()
    assert first.reset == CANCEL
    assert third.stream is not None
    peer.ours.connection.reset(third.stream, REFUSED_STREAM)
    peer.ours.connection.goaway()
    peer.exchange()
    assert peer.of(h2.events.StreamReset)[0].error_code == REFUSED_STREAM
    assert peer.of(h2.events.ConnectionTerminated)[0].last_stream_id == 3
    assert peer.ours.connection.finished()


def test_settings_and_pings_are_acknowledged(against_client: Peer) -> None:
    peer = against_client
    peer.h2.ping(b"12345678")
    peer.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 10})
    peer.ours.connection.ping(b"abcdefgh")
    peer.exchange()
    assert peer.of(h2.events.PingAckReceived)
    assert peer.of(h2.events.SettingsAcknowledged)
    assert ("ping_ack", b"abcdefgh") in peer.ours.events
    assert peer.ours.connection.settings_acknowledged()
    assert peer.ours.connection.peer.initial_window_bytes == 10


def test_extended_connect_carries_bytes_both_ways() -> None:
    settings = Settings()
    settings.connect_protocol = True
    peer = Peer(Endpoint(False, settings))
    peer.exchange()
    head = [
        (b":method", b"CONNECT"),
        (b":protocol", b"websocket"),
        (b":scheme", b"https"),
        (b":path", b"/chat"),
        (b":authority", b"example.com"),
    ]
    peer.h2.send_headers(1, head)
    peer.h2.send_data(1, b"frame")
    peer.exchange()
    got = peer.ours.received[1]
    assert got.head is not None
    assert got.head.protocol == b"websocket"
    assert got.content == b"frame"
    assert got.stream is not None
    peer.ours.connection.send_head(got.stream, response_block(200, []), False)
    got.send(b"back", False)
    peer.exchange()
    assert peer.of(h2.events.DataReceived)[0].data == b"back"


def test_heads_that_repeat_are_the_same_object_in_both_directions(against_client: Peer) -> None:
    peer = against_client
    answer = response_block(200, [(b"server", b"server", b"us"), (b"date", b"date", b"now")])
    for stream_id in (1, 3, 5, 7):
        peer.h2.send_headers(stream_id, REQUEST, end_stream=True)
        peer.exchange()
        stream = peer.ours.received[stream_id].stream
        assert stream is not None
        peer.ours.connection.send_head(
            stream, answer, True, [(b"x-id", b"x-id", b"%d" % stream_id)]
        )
        peer.exchange()
    assert peer.ours.received[5].head is peer.ours.received[7].head
    heads = [event.headers for event in peer.of(h2.events.ResponseReceived)]
    assert heads[3] == [
        (b":status", b"200"),
        (b"server", b"us"),
        (b"date", b"now"),
        (b"x-id", b"7"),
    ]


def test_a_plain_get_has_no_more_than_its_pseudo_header_fields(against_server: Peer) -> None:
    against_server.ours.open(get(b"/a"))
    against_server.exchange()
    (event,) = against_server.of(h2.events.RequestReceived)
    assert event.headers == [
        (b":method", b"GET"),
        (b":scheme", b"https"),
        (b":authority", b"example.com"),
        (b":path", b"/a"),
    ]
