"""vLLM's NixlConnector: the answering half pulls what the other computed.

The computing half makes one token, and its answer tells where the blocks are; that goes as it is
into the other's request (vLLM, docs/features/nixl_connector_usage.md; llm-d's sidecar does so).
"""

from typing import ClassVar, Final

import msgspec

from penstock.wire import openai_bodies as bodies
from penstock.wire.handover.connector import Connector, with_fields

_ASKED: Final = (
    b'{"do_remote_decode":true,"do_remote_prefill":false,"remote_engine_id":null,'
    b'"remote_block_ids":null,"remote_host":null,"remote_port":null}'
)
_FIELD: Final = "kv_transfer_params"
# Of a stream, or of more tokens than one.
_LEFT_OUT: Final = ("stream_options", "min_tokens")


class Nixl(Connector):
    name: ClassVar[str] = "nixl"

    def prefill_body(self, body: bytes, meeting: bytes) -> bytes:
        put = {"stream": b"false", "max_tokens": b"1", _FIELD: _ASKED}
        if b"max_completion_tokens" in body:
            put["max_completion_tokens"] = b"1"
        return with_fields(body, put, _LEFT_OUT)

    def handed_over(self, answer: bytes) -> bytes:
        try:
            told = bytes(bodies.handed_over.decode(answer).kv_transfer_params)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return b""
        return told if told.startswith(b"{") else b""

    def decode_body(self, body: bytes, handed_over: bytes) -> bytes:
        return with_fields(body, {_FIELD: handed_over})
