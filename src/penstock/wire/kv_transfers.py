"""Fields by which engines hand over KV caches, in bodies of clients, where they have no place: they
tell an engine with which host to connect, and what to read there."""

from typing import Final

import msgspec

from penstock.wire import openai_bodies as bodies
from penstock.wire.openai_bodies import NOTHING

FIELDS: Final = (
    "kv_transfer_params",
    "ec_transfer_params",
    "bootstrap_host",
    "bootstrap_port",
    "bootstrap_room",
    "bootstrap_pair_key",
    "disaggregated_params",
)
# APIs of engines' own whose bodies may have them, by the end of their paths (vLLM, SGLang).
_OWN_APIS: Final = (b"/generate", b"/encode")


def may_have_transfers(path: bytes) -> bool:
    """Whether a request to that path is read for them though its API is not understood."""
    return path.partition(b"?")[0].endswith(_OWN_APIS)


def transfer_of(read: bodies.Transfers) -> str:
    """The first of them that stands in a body; "" for none."""
    if (
        read.kv_transfer_params is NOTHING
        and read.ec_transfer_params is NOTHING
        and read.vllm_xargs is NOTHING
        and read.bootstrap_host is NOTHING
        and read.bootstrap_port is NOTHING
        and read.bootstrap_room is NOTHING
        and read.bootstrap_pair_key is NOTHING
        and read.disaggregated_params is NOTHING
    ):
        return ""
    for name in FIELDS:
        if getattr(read, name) is not NOTHING:
            return name
    try:
        inner = bodies.keys.decode(bytes(read.vllm_xargs))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""  # of another form than the engine takes
    return next((name for name in FIELDS if name in inner), "")


def transfer_in(body: bytes) -> str:
    """The first of them that a body may have which cannot be decoded; "" for none."""
    for name in FIELDS:
        if b'"%b"' % name.encode() in body:
            return name
    return ""
