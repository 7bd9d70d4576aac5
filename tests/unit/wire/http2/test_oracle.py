"""Histories by chance: our two roles with each other and with h2, and bytes that went bad.

h2 keeps the laws of RFC 9113 too: it raises where our side sends what it must not.
"""

import contextlib
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.exceptions
from hypothesis import given
from hypothesis import strategies as st

from penstock.wire.http2.header_block import (
    HeaderBlock,
    plain_field,
    request_block,
    response_block,
    trailer_block,
)
from tests.unit.wire.http2.recording import Endpoint, RecordingStream, frame, frames, server

FIELDS = st.lists(
    st.tuples(
        st.sampled_from([b"x-a", b"x-b", b"accept", b"x-long", b"etag"]),
        st.sampled_from([b"", b"1", b"two", b"gzip, deflate", b"v" * 700]),
    ),
    max_size=5,
)
BODIES = st.sampled_from([b"", b"x", b"y" * 300, b"z" * 20_000, b"w" * 140_000])
EXCHANGES = st.lists(
    st.tuples(FIELDS, BODIES, FIELDS, BODIES, st.booleans(), st.booleans()), min_size=1, max_size=6
)
# How many octets are carried at a time each way.
CARRIED = st.lists(st.sampled_from([1, 7, 100, 5000, 10**6]), min_size=1, max_size=8)
Pairs = list[tuple[bytes, bytes]]


def block_fields(pairs: Pairs) -> list[tuple[bytes, bytes, bytes]]:
    return [plain_field(name, value) for name, value in pairs]


def regular(head: HeaderBlock | None) -> Pairs:
    assert head is not None
    return [(name, value) for name, _, value in head.fields]


def carry(one: Endpoint, other: Endpoint, pieces: list[int]) -> None:
    """Both ways in pieces of these sizes, until neither says anything more."""
    turn = 0
    while True:
        there, back = one.output(), other.output()
        if not there and not back:
            return
        for to, data in ((other, there), (one, back)):
            while data:
                size = pieces[turn % len(pieces)]
                turn += 1
                to.receive(data[:size])
                data = data[size:]


@given(EXCHANGES, CARRIED)
def test_exchanges_between_our_two_roles_arrive_as_they_were_sent(
    exchanges: list[tuple[Pairs, bytes, Pairs, bytes, bool, bool]], pieces: list[int]
) -> None:
    us, them = Endpoint(True), Endpoint(False)
    asked: list[RecordingStream] = []
    for number, (fields, body, _, _, trailers, _) in enumerate(exchanges):
        path = b"/%d" % (number % 3)
        head = request_block(b"POST", b"https", b"a.example", path, block_fields(fields))
        asked.append(us.open(head, end=False))
        asked[-1].send(body, not trailers)
    carry(us, them, pieces)
    for got, (fields, body, answer_fields, answer, trailers, answer_trailers) in zip(
        list(them.received.values()), exchanges, strict=True
    ):
        assert (regular(got.head), got.content) == (fields, body)
        assert got.ended is not trailers
        assert got.stream is not None
        them.connection.send_head(
            got.stream, response_block(200, block_fields(answer_fields)), False
        )
        got.send(answer, not answer_trailers)
    carry(us, them, pieces)
    for (_, _, _, _, trailers, answer_trailers), mine, got in zip(
        exchanges, asked, list(them.received.values()), strict=True
    ):
        assert mine.stream is not None
        assert got.stream is not None
        if trailers:
            us.connection.send_trailers(mine.stream, trailer_block([plain_field(b"x-t", b"1")]))
        if answer_trailers:
            them.connection.send_trailers(got.stream, trailer_block([plain_field(b"x-t", b"2")]))
    carry(us, them, pieces)
    for mine, got, (_, _, answer_fields, answer, _, _) in zip(
        asked, list(them.received.values()), exchanges, strict=True
    ):
        assert got.ended
        assert mine.ended
        assert (regular(mine.head), mine.content) == (answer_fields, answer)
    for side in (us, them):
        assert (side.failure, side.faults, side.connection.streams) == (None, [], {})
        assert side.connection.floods.exceeded == -1


class WithH2:
    """Our server or client on one side, h2 on the other; every step is one that h2 may take."""

    def __init__(self, ours_is_client: bool) -> None:
        self.ours = Endpoint(ours_is_client)
        config = h2.config.H2Configuration(
            client_side=not ours_is_client, header_encoding=None, validate_outbound_headers=False
        )
        self.h2 = h2.connection.H2Connection(config)
        self.h2.initiate_connection()
        self.events: list[Any] = []
        self.content: dict[int, bytes] = {}
        self.open: list[int] = []
        self.carry()

    def carry(self) -> None:
        while True:
            there, back = self.h2.data_to_send(), self.ours.output()
            if not there and not back:
                return
            self.ours.receive(there)
            for event in self.h2.receive_data(back):
                self.events.append(event)
                if isinstance(event, h2.events.DataReceived):
                    self.content[event.stream_id] = (
                        self.content.get(event.stream_id, b"") + event.data
                    )
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, h2.events.StreamReset):
                    self.forget(event.stream_id)

    def forget(self, stream_id: int) -> None:
        if stream_id in self.open:
            self.open.remove(stream_id)


KINDS = "open theirs ours end answer finish reset theirs_reset settings ping carry"
STEPS = st.lists(
    st.tuples(
        st.sampled_from(KINDS.split()), st.integers(0, 5), st.sampled_from([0, 1, 300, 16_000])
    ),
    max_size=40,
)


@given(STEPS)
def test_any_history_that_h2s_client_may_make_ends_in_agreement(
    steps: list[tuple[str, int, int]],
) -> None:
    pair = WithH2(ours_is_client=False)
    theirs, ours = pair.h2, pair.ours
    sent: dict[int, int] = {}
    answered: dict[int, int] = {}
    done: set[int] = set()
    next_id = 1
    for step, which, size in steps:
        stream_id = pair.open[which % len(pair.open)] if pair.open else 0
        got = ours.received.get(stream_id)
        if step == "open":
            head = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/%d" % which)]
            head += [(b":authority", b"a"), (b"x-size", b"%d" % size)]
            theirs.send_headers(next_id, head)
            pair.open.append(next_id)
            sent[next_id] = 0
            next_id += 2
            pair.carry()
        elif step == "settings":
            theirs.update_settings({4: 1000 + 30_000 * which, 1: 100 * which})
        elif step == "ping":
            theirs.ping(b"12345678")
        elif step == "carry":
            pair.carry()
        elif got is None or got.stream is None or not stream_id:
            continue
        elif step == "theirs" and stream_id not in done:
            with contextlib.suppress(
                h2.exceptions.FlowControlError, h2.exceptions.FrameTooLargeError
            ):
                theirs.send_data(stream_id, bytes(size), pad_length=which or None)
                sent[stream_id] += size
        elif step == "end" and stream_id not in done:
            theirs.end_stream(stream_id)
            done.add(stream_id)
        elif step == "answer" and stream_id not in answered:
            ours.connection.send_head(got.stream, response_block(200, []), False)
            answered[stream_id] = 0
        elif step == "ours" and stream_id in answered and not got.unsent:
            got.send(bytes(size), False)
            answered[stream_id] += size
        elif step == "finish" and stream_id in answered and not got.unsent:
            ours.connection.send_trailers(got.stream, trailer_block([plain_field(b"x", b"1")]))
            del answered[stream_id]
            pair.carry()
            pair.forget(stream_id)
        elif step == "reset":
            ours.connection.reset(got.stream)
            pair.forget(stream_id)
            pair.carry()
        elif step == "theirs_reset":
            theirs.reset_stream(stream_id)
            pair.forget(stream_id)
    for _ in range(20):
        pair.carry()
    assert (ours.failure, ours.faults) == (None, [])
    for stream_id in pair.open:
        got = ours.received[stream_id]
        assert len(got.content) == sent[stream_id]
        assert got.ended is (stream_id in done)
        if stream_id in answered:
            assert len(pair.content.get(stream_id, b"")) + len(got.unsent) == answered[stream_id]
            assert (
                len(got.unsent) == 0
                or ours.connection.streams[stream_id].send_window <= 0
                or (ours.connection.send_window <= 0)
            )


@given(EXCHANGES)
def test_h2s_server_reads_what_our_client_sends_and_we_what_it_answers(
    exchanges: list[tuple[Pairs, bytes, Pairs, bytes, bool, bool]],
) -> None:
    pair = WithH2(ours_is_client=True)
    for fields, body, answer_fields, answer, trailers, answer_trailers in exchanges:
        head = request_block(b"PUT", b"https", b"a.example", b"/x", block_fields(fields))
        mine = pair.ours.open(head, end=False)
        mine.send(body, not trailers)
        pair.carry()
        assert mine.stream is not None
        if trailers:
            pair.ours.connection.send_trailers(
                mine.stream, trailer_block([plain_field(b"x", b"y")])
            )
            pair.carry()
        (request,) = [e for e in pair.events if isinstance(e, h2.events.RequestReceived)]
        assert [pair_ for pair_ in request.headers if not pair_[0].startswith(b":")] == fields
        assert pair.content.get(mine.stream.id, b"") == body
        assert any(isinstance(event, h2.events.StreamEnded) for event in pair.events)
        pair.events.clear()
        stream_id = mine.stream.id
        pair.h2.send_headers(stream_id, [(b":status", b"200"), *answer_fields])
        for start in range(0, len(answer), 16_000):
            pair.h2.send_data(stream_id, answer[start : start + 16_000])
            pair.carry()
        if answer_trailers:
            pair.h2.send_headers(stream_id, [(b"x-t", b"1")], end_stream=True)
        else:
            pair.h2.end_stream(stream_id)
        pair.carry()
        assert (regular(mine.head), mine.content, mine.ended) == (answer_fields, answer, True)
    assert pair.ours.connection.streams == {}


def conversation() -> bytes:
    """What a well-behaved client sends: most kinds of frames are in it."""
    us = Endpoint(True)
    fields = [plain_field(b"x-a", b"1")]
    first = us.open(request_block(b"POST", b"https", b"a.example", b"/x", fields), end=False)
    first.send(b"body" * 20, False)
    assert first.stream is not None
    us.connection.send_trailers(first.stream, trailer_block([plain_field(b"x-t", b"1")]))
    us.open(request_block(b"GET", b"https", b"a.example", b"/y", fields))
    us.connection.ping(b"12345678")
    third = us.open(request_block(b"GET", b"https", b"a.example", b"/z", []), end=False)
    assert third.stream is not None
    us.connection.send_priority(third.stream, 1, True)
    us.connection.reset(third.stream)
    us.connection.goaway()
    return us.output() + frame(8, 0, 0, b"\0\0\1\0") + frame(4, 0, 0, b"\0\4\0\0\1\0")


CONVERSATION = conversation()
CHANGES = st.lists(
    st.tuples(st.integers(0, len(CONVERSATION) - 1), st.integers(0, 255)), min_size=1, max_size=4
)


@given(CHANGES, st.integers(0, len(CONVERSATION)), CARRIED)
def test_bytes_that_went_bad_end_streams_or_the_connection_and_never_more(
    changes: list[tuple[int, int]], kept: int, pieces: list[int]
) -> None:
    data = bytearray(CONVERSATION)
    for place, octet in changes:
        data[place] = octet
    data = data[:kept]
    whole, pieced = Endpoint(False), Endpoint(False)
    whole.receive(bytes(data))
    at = 0
    for turn in range(len(data)):
        size = pieces[turn % len(pieces)]
        pieced.receive(bytes(data[at : at + size]))
        at += size
    # However the bytes come, the same comes of them.
    assert whole.failure == pieced.failure
    assert [fault[:2] for fault in whole.faults] == [fault[:2] for fault in pieced.faults]
    for stream_id, got in whole.received.items():
        other = pieced.received[stream_id]
        assert (got.ended, got.reset, got.content) == (other.ended, other.reset, other.content)
        if got.head is not None:
            for name, _, value in got.head.fields:
                assert b"\n" not in value
                assert name == name.lower()
    if whole.failure is not None:
        assert frames(whole.output())[-1][0] == 7
        assert whole.connection.streams == {}


@given(st.binary(max_size=300))
def test_any_bytes_after_the_preface_are_survived(data: bytes) -> None:
    ours = server()
    ours.receive(data)
    ours.output()
    ours.connection.lost()
    assert ours.connection.streams == {}
