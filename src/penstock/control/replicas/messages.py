"""What balancers say to each other, as bytes.

Forms are told apart by what they have, so that two versions work side by side: fields are added
at the end, numbers of an endpoint after those that there were, and kinds that are not known are
passed over.
"""

import sys
from array import array
from collections.abc import Iterable
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from penstock.dataplane.board.balancer_loads import MOST_ENDPOINTS, WIDTH
from penstock.dataplane.llm.balancer_prefixes import PREFIX_WIDTH

LOAD: Final = "load"  # what changed, to all
WHOLE: Final = "whole"  # all that there is
PAST: Final = "past"  # prefixes of before, to who asked
ASK: Final = "ask"  # for all that there is, and for prefixes from `first` to `last`
BYE: Final = "bye"
# What pools are asked: `loads` are DEMAND_WIDTH numbers each, a hash of the pool's name before its
# totals of requests, of tokens of prompts and of answers, and requests that wait.
DEMAND: Final = "demand"
DEMAND_WIDTH: Final = 5
_MOST_WIDTH: Final = 64
_MOST_LOADS: Final = MOST_ENDPOINTS * WIDTH * 8
MOST_PREFIXES: Final = 4096  # in one message: 96 KiB
_NUMBER_BYTES: Final = 8

Count = Annotated[int, Meta(ge=0, le=(1 << 62) - 1)]


class Message(msgspec.Struct, array_like=True, frozen=True):
    """``loads`` are ``width`` numbers for each endpoint, ``prefixes`` three for each entry."""

    kind: Annotated[str, Meta(max_length=16)]
    balancer: Annotated[str, Meta(min_length=1, max_length=80, pattern=r"^[A-Za-z0-9._-]+$")]
    seq: Count = 0  # of messages to all
    digest: Count = 0  # of all loads, these included
    sent_us: Count = 0  # by the clock of who sends it, for its own use
    width: Annotated[int, Meta(ge=2, le=_MOST_WIDTH)] = WIDTH
    loads: Annotated[bytes, Meta(max_length=_MOST_LOADS)] = b""
    first: Count = 0  # number of the first entry of `prefixes`
    prefixes: Annotated[bytes, Meta(max_length=MOST_PREFIXES * PREFIX_WIDTH * 8)] = b""
    last: Count = 0


_decoder: Final = msgspec.msgpack.Decoder(Message)
_encoder: Final = msgspec.msgpack.Encoder()


def encode(message: Message) -> bytes:
    """As it is published."""
    return _encoder.encode(message)


def decode(data: bytes) -> Message | None:
    """What was published; None for what no balancer says."""
    try:
        found = _decoder.decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    if len(found.loads) % (found.width * _NUMBER_BYTES):
        return None
    if len(found.prefixes) % (PREFIX_WIDTH * _NUMBER_BYTES):
        return None
    return found


def packed(numbers: Iterable[int]) -> bytes:
    """Signed numbers of 64 bits, the lowest byte first."""
    return _swapped(array("q", numbers)).tobytes()


def unpacked(data: bytes) -> memoryview:
    """The numbers that ``packed`` was given."""
    found = array("q")
    found.frombytes(data)
    return memoryview(_swapped(found))


def _swapped(numbers: "array[int]") -> "array[int]":
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
