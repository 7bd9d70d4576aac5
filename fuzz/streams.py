"""What comes before, within or instead of HTTP: TLS, PROXY, WebSocket, forms, events, JSON."""

import json

from wsproto.extensions import Extension, PerMessageDeflate
from wsproto.frame_protocol import FrameProtocol, Opcode, ParseFailed

from fuzz.cuts import cut
from penstock.wire.client_hello import ClientHelloReader
from penstock.wire.ext_proc import decode_request
from penstock.wire.model_name import FormScanner, model_at_front
from penstock.wire.openai import ANTHROPIC, CHAT, COMPLETION, LLAMACPP, RESPONSE, inspect
from penstock.wire.preface import ABSENT, BAD, FOUND, NEED_MORE
from penstock.wire.proxy_protocol import read_proxy_datagram, read_proxy_header
from penstock.wire.sse import SseMeter
from penstock.wire.websocket import FrameFollower
from penstock.wire.websocket_deflate import Inflater
from penstock.wire.websocket_messages import MessageReader

_APIS = (CHAT, COMPLETION, RESPONSE, ANTHROPIC, LLAMACPP)
_BOUNDARY = b"b"
_MESSAGE_BYTES = 300


def client_hello(data: bytes) -> None:
    """The name asked for is the same however the message is cut."""
    whole, pieces = cut(data)
    assert _hello([whole]) == _hello(pieces)


def _hello(pieces: list[bytes]) -> tuple[object, ...]:
    reader = ClientHelloReader()
    for piece in pieces:
        reader.feed(piece)
    assert reader.outcome in (NEED_MORE, ABSENT, BAD, FOUND)
    assert (reader.outcome == BAD) == bool(reader.reason)
    name = reader.server_name
    assert name == name.lower()
    assert len(name) <= 253
    return reader.outcome, reader.reason, name, reader.alpn


def proxy(data: bytes) -> None:
    """A PROXY header is found when it is whole and not before, whatever stands behind it."""
    reading = read_proxy_header(data)
    read_proxy_datagram(data)
    if reading.outcome != FOUND:
        assert (reading.outcome == BAD) == bool(reading.reason)
        return
    assert reading.header is not None
    assert 0 < reading.size <= len(data)
    assert read_proxy_header(data[: reading.size]).outcome == FOUND
    for size in range(reading.size):
        assert read_proxy_header(data[:size]).outcome == NEED_MORE
    assert 0 <= reading.header.source_port <= 65535


def websocket(data: bytes) -> None:
    """Where frames end is the same however they are cut."""
    whole, pieces = cut(data)
    assert _followed([whole]) == _followed(pieces)


def _followed(pieces: list[bytes]) -> tuple[bool, ...]:
    follower = FrameFollower()
    for piece in pieces:
        follower.feed(piece)
        assert -1 <= follower.boundary <= len(piece)
        assert follower.boundary != len(piece) or follower.between_frames
    ends = follower.between_frames
    return follower.is_frames, ends, follower.close_passed, follower.message_open


def messages(data: bytes) -> None:
    """A client's messages are the same however they are cut, and wsproto reads them alike."""
    whole, pieces = cut(data)
    found, code = _read_messages([whole])
    assert (found, code) == _read_messages(pieces)
    ours = [(kind, body) for kind, body in found if kind in (1, 2)]
    judged = _judged(whole, [])
    assert code or judged is None or ours == judged


def compressed_messages(data: bytes) -> None:
    """The same of messages that are compressed, by permessage-deflate."""
    forgets = bool(data[:1]) and data[0] & 1 == 1
    whole, pieces = cut(data[1:])
    found, code = _read_messages([whole], Inflater(15, forgets=forgets))
    assert (found, code) == _read_messages(pieces, Inflater(15, forgets=forgets))
    agreed = PerMessageDeflate(client_no_context_takeover=forgets)
    agreed.finalize("")
    judged = _judged(whole, [agreed])
    if judged is None or code:
        return
    ours = [(kind, body) for kind, body in found if kind in (1, 2)]
    # Behind a last block it loses what follows (RFC 7692, 7.2.3.4), which takes chance to write.
    assert len(ours) == len(judged)
    assert all(kind == other for (kind, _), (other, _) in zip(ours, judged, strict=True))


def _judged(data: bytes, extensions: list[Extension]) -> list[tuple[int, bytes]] | None:
    """Its messages as wsproto reads them; None where it refuses any of it."""
    judge = FrameProtocol(client=False, extensions=extensions)
    judge.receive_bytes(data)
    judged: list[tuple[int, bytes]] = []
    payload = b""
    try:
        for frame in judge.received_frames():
            if frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONTINUATION):
                part = frame.payload
                assert not isinstance(part, tuple)  # that is a close's
                payload += part.encode() if isinstance(part, str) else bytes(part)
                if frame.message_finished:
                    judged.append((int(frame.opcode), payload))
                    payload = b""
            elif frame.opcode == Opcode.CLOSE:
                break
    except ParseFailed:
        return None
    return judged


def _read_messages(
    pieces: list[bytes], inflater: Inflater | None = None
) -> tuple[list[tuple[int, bytes]], int]:
    reader = MessageReader(True, _MESSAGE_BYTES, inflater)
    found = []
    for piece in pieces:
        found += [(each.kind, each.data) for each in reader.feed(piece)]
        assert reader.unfinished <= _MESSAGE_BYTES
    assert bool(reader.code) == bool(reader.reason)
    assert all(len(data) <= _MESSAGE_BYTES for _, data in found)
    return found, reader.code


def form(data: bytes) -> None:
    """The model of a form in parts is found however it is cut, and stands where it is said to."""
    whole, pieces = cut(data)
    found = _scanned([whole])
    assert found == _scanned(pieces)
    if found is not None:
        name, start, end = found
        assert whole[start:end].decode() == name


def _scanned(pieces: list[bytes]) -> tuple[str, int, int] | None:
    scanner = FormScanner(_BOUNDARY)
    for piece in pieces:
        scanner.feed(piece)
    place = scanner.found
    return None if place is None else (place.name, place.start, place.end)


def events(data: bytes) -> None:
    """A stream of events is metered the same however it is cut."""
    whole, pieces = cut(data)
    assert _metered([whole]) == _metered(pieces)


def _metered(pieces: list[bytes]) -> tuple[object, ...]:
    meter = SseMeter()
    for piece in pieces:
        meter.feed(piece)
    meter.end()
    told = (meter.prompt_tokens, meter.cached_tokens, meter.output_tokens)
    return meter.events, meter.begun, meter.done, meter.finish_reason, meter.failure, told


def gateway(data: bytes) -> None:
    """A message of a gateway (ext_proc) is understood or refused."""
    found = decode_request(data)
    assert found is None or all(len(name) <= len(data) for name, _ in found.headers)


def body(data: bytes) -> None:
    """A body in JSON is understood, or says why not; its model stands where it is said to."""
    if not data:
        return
    api, text = _APIS[data[0] % len(_APIS)], data[1:]
    found = inspect(api, text)
    assert found.prompt_bytes >= 0
    assert found.images >= 0
    assert len(found.blocks) == len(found.block_ends)
    place = model_at_front(text)
    if place is None:
        return
    assert json.loads(text[place.start : place.end]) == place.name
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        return
    other = json.loads(place.renamed(text, "other"))
    assert other.keys() == whole.keys()
