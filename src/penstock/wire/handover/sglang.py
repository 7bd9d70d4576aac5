"""SGLang's disaggregation: both halves are asked at once, and meet in a room of the computing one.

Each request has a room of its own: two in one room end its scheduler (sgl-project/sglang,
docs/advanced_features/pd_disaggregation.md).
"""

from typing import ClassVar

import msgspec

from penstock.wire import openai_bodies as bodies
from penstock.wire.handover.connector import Connector, with_fields


class Sglang(Connector):
    name: ClassVar[str] = "sglang"
    at_once: ClassVar[bool] = True
    alone: ClassVar[bool] = False

    def prefill_body(self, body: bytes, meeting: bytes) -> bytes:
        fields = _fields(meeting)
        fields["stream"] = b"false"  # nobody reads it
        return with_fields(body, fields, ("stream_options",))

    def meeting(self, host: str, port: int, room: int, engine: str) -> bytes:
        told = {"bootstrap_host": host, "bootstrap_port": port, "bootstrap_room": room}
        return msgspec.json.encode(told)

    def decode_body(self, body: bytes, handed_over: bytes) -> bytes:
        return with_fields(body, _fields(handed_over))


def _fields(meeting: bytes) -> dict[str, bytes]:
    return {name: bytes(value) for name, value in bodies.keys.decode(meeting).items()}
