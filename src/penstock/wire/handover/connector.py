"""What every way to hand over a KV cache is: what is asked of the half that computes a prompt, and
of the half that answers it."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

import msgspec

from penstock.wire import openai_bodies as bodies

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class Connector:
    """It has no state."""

    name: ClassVar[str] = ""

    def prefill_body(self, body: bytes) -> bytes:
        """What the computing half is asked for a request with that body; b"" where it cannot be."""
        raise NotImplementedError

    def handed_over(self, answer: bytes) -> bytes:
        """What of its answer the other half is told, as JSON; b"" where it handed over nothing."""
        raise NotImplementedError

    def decode_body(self, body: bytes, handed_over: bytes) -> bytes:
        """What the answering half is asked; b"" where it cannot be."""
        raise NotImplementedError


def with_fields(body: bytes, put: Mapping[str, bytes], left_out: Sequence[str] = ()) -> bytes:
    """A JSON object with other fields, each in JSON; all else stays as it is written.

    b"" where the body is no object.
    """
    try:
        fields = bodies.keys.decode(body.removeprefix(_BYTE_ORDER_MARK))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return b""
    for name in left_out:
        fields.pop(name, None)
    for name, value in put.items():
        fields[name] = msgspec.Raw(value)
    return msgspec.json.encode(fields)
