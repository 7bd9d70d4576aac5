"""The name of the model in a request's body, written anew."""

import msgspec

from penstock.wire.forwarding import REQUEST_ID_LINE
from penstock.wire.http1 import RequestHead

_body = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LAST_CHUNK = b"0\r\n\r\n"


def with_model(body: bytes, name: str) -> bytes:
    """The same JSON object for that model; all other values keep their bytes.

    Of a key that stands there several times the last one is kept, as engines read it. Raises
    msgspec.DecodeError when it is no object.
    """
    pieces: list[bytes] = []
    for key, value in _body.decode(body).items():
        text = msgspec.json.encode(name) if key == "model" else bytes(value)
        pieces.append(msgspec.json.encode(key) + b":" + text)
    return b"{" + b",".join(pieces) + b"}"


def as_one_chunk(body: bytes) -> bytes:
    """A whole body in the framing of chunks."""
    return b"%x\r\n%b\r\n%b" % (len(body), body, _LAST_CHUNK)


def with_length(prefix: bytes, head: RequestHead, length: int) -> bytes:
    """A forwarded head, as far as ``forwarded_request`` makes it, for a body of another length.

    One whose body comes in chunks tells none.
    """
    if head.content_length < 0:
        return prefix
    ending = b"Content-Length: %d\r\n%b" % (head.content_length, REQUEST_ID_LINE)
    return b"%bContent-Length: %d\r\n%b" % (prefix.removesuffix(ending), length, REQUEST_ID_LINE)
