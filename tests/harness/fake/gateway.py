"""A gateway that asks a stage for endpoints, by HTTP/2 and messages of another make."""

import json
from typing import Any

from tests.harness.ext_proc_messages import (
    ProcessingResponse,
    body,
    request_headers,
    response_headers,
)
from tests.harness.fake.http2 import Heard, Http2Peer
from tests.harness.fake.stage import Stage

PROCESS = "/envoy.service.ext_proc.v3.ExternalProcessor/Process"
_JSON = {"content-type": "application/json"}


class Gateway:
    """One connection of it."""

    def __init__(self, stage: Stage, *, window: int = 1 << 20) -> None:
        self.peer = Http2Peer(stage, stage.client(), window=window)

    def call(self, path: str = PROCESS) -> "GatewayCall":
        head = [
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", "penstock"),
            (":path", path),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        ]
        return GatewayCall(self.peer, self.peer.begin(head))


class GatewayCall:
    """One request that it asks about."""

    def __init__(self, peer: Http2Peer, stream: int) -> None:
        self.peer = peer
        self.stream = stream
        self._read = 0

    @property
    def heard(self) -> Heard:
        return self.peer.heard[self.stream]

    @property
    def grpc_status(self) -> int:
        return int(self.heard.trailers.get("grpc-status", self.heard.head.get("grpc-status", -1)))

    def say(self, message: Any) -> None:
        data = message.SerializeToString()
        framed = b"\0" + len(data).to_bytes(4, "big") + data
        assert self.peer.send(self.stream, framed) == len(framed)

    def close(self) -> None:
        self.peer.end_stream(self.stream)

    def answers(self) -> list[Any]:
        """What came since this was asked last."""
        data = self.heard.data
        found = []
        while len(data) - self._read >= 5:
            size = int.from_bytes(data[self._read + 1 : self._read + 5], "big")
            if len(data) - self._read - 5 < size:
                break
            start = self._read + 5
            found.append(ProcessingResponse.FromString(data[start : start + size]))
            self._read = start + size
        return found

    # --- what is said often -------------------------------------------------------------------

    def ask(self, text: bytes = b"", path: str = "/v1/chat/completions", **how: Any) -> list[Any]:
        """A whole request; its body is said in one piece."""
        told = {":method": "POST", ":path": path, ":scheme": "http", ":authority": "a", **_JSON}
        told |= how.pop("headers", {})
        self.say(request_headers(told, ends=not text, **how))
        if text:
            self.say(body("request_body", text, ends=True))
        return self.answers()

    def answer(self, status: int = 200, *pieces: bytes, served: str = "", **headers: str) -> None:
        """A whole answer of the endpoint."""
        told = {":status": str(status), **_JSON}
        told |= {name.replace("_", "-"): value for name, value in headers.items()}
        self.say(response_headers(told, ends=not pieces, served=served))
        for number, piece in enumerate(pieces):
            self.say(body("response_body", piece, ends=number == len(pieces) - 1))


def prompt(text: str = "hi", model: str = "m", **fields: object) -> bytes:
    """The body of a chat."""
    asked = {"model": model, "messages": [{"role": "user", "content": text}], **fields}
    return json.dumps(asked).encode()


def picked(answers: list[Any]) -> list[str]:
    """The endpoints that the first answer names, the best first."""
    options = answers[0].request_headers.response.header_mutation.set_headers
    told = {each.header.key: each.header.raw_value.decode() for each in options}
    found: str = told["x-gateway-destination-endpoint"]
    namespace = dict(dict(answers[0].dynamic_metadata)["envoy.lb"])
    assert namespace == {"x-gateway-destination-endpoint": found}
    return found.split(",")


def handed_back(answers: list[Any], kind: str = "request_body") -> tuple[bytes, bool]:
    """A body in the pieces that go on, and whether it is whole."""
    pieces = [
        getattr(each, kind).response.body_mutation.streamed_response
        for each in answers
        if each.HasField(kind)
    ]
    assert not any(each.end_of_stream for each in pieces[:-1])
    ends = bool(pieces) and pieces[-1].end_of_stream
    return b"".join(each.body for each in pieces), ends
