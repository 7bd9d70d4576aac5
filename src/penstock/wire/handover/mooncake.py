"""vLLM's MooncakeConnector: both halves are asked at once, and told of one transfer.

The answering half is told the computing one's bootstrap server, where it asks for the cache, and
its engine id, which is set where that engine is started (``engine_id`` of
``--kv-transfer-config``).
Engines answer whole prompts alone as well. Source: vLLM, docs/features/mooncake_connector_usage.md,
and the connector's example proxy.
"""

from typing import ClassVar, Final

import msgspec

from penstock.wire import openai_bodies as bodies
from penstock.wire.handover.connector import Connector, with_fields

_FIELD: Final = "kv_transfer_params"
# Of a stream, or of more tokens than one.
_LEFT_OUT: Final = ("stream_options", "min_tokens")
_TRANSFER: Final = "transfer_id"


class Mooncake(Connector):
    name: ClassVar[str] = "mooncake"
    at_once: ClassVar[bool] = True
    alone: ClassVar[bool] = True

    def prefill_body(self, body: bytes, meeting: bytes) -> bytes:
        told: dict[str, object] = {"do_remote_decode": True, "do_remote_prefill": False}
        transfer = bodies.keys.decode(meeting).get(_TRANSFER)
        if transfer is not None:
            told[_TRANSFER] = transfer
        put = {"stream": b"false", "max_tokens": b"1", _FIELD: msgspec.json.encode(told)}
        if b"max_completion_tokens" in body:
            put["max_completion_tokens"] = b"1"
        return with_fields(body, put, _LEFT_OUT)

    def meeting(self, host: str, port: int, room: int, engine: str) -> bytes:
        address = f"[{host}]" if ":" in host else host
        told = {
            "do_remote_decode": False,
            "do_remote_prefill": True,
            "remote_bootstrap_addr": f"http://{address}:{port}",
            "remote_engine_id": engine,
            _TRANSFER: f"xfer-{room:016x}",
        }
        return msgspec.json.encode(told)

    def decode_body(self, body: bytes, handed_over: bytes) -> bytes:
        return with_fields(body, {_FIELD: handed_over})
