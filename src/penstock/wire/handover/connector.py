"""What every way to hand over a KV cache is: what is asked of the half that computes a prompt, and
of the half that answers it."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

import msgspec

from penstock.wire import openai_bodies as bodies

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class Connector:
    """It has no state.

    ``at_once``: both halves are asked at the same time, and meet; else the other is asked when the
    first has answered. ``alone``: the answering half can do without the other.
    """

    name: ClassVar[str] = ""
    at_once: ClassVar[bool] = False
    alone: ClassVar[bool] = True

    def prefill_body(self, body: bytes, meeting: bytes) -> bytes:
        """What the computing half is asked for a request with that body; b"" where it cannot be."""
        raise NotImplementedError

    def meeting(self, host: str, port: int, room: int, engine: str) -> bytes:
        """Of engines that meet: where, as JSON. ``room``: a number that nobody else has;
        ``engine``: by which the other knows the computing one."""
        return b""

    def handed_over(self, answer: bytes) -> bytes:
        """Of those that do not: what the other half is told of the first one's answer, as JSON; b""
        where it handed over nothing."""
        return b""

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
