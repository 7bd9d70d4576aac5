"""Penstock as an Endpoint Picker, asked by gRPC of another make (grpcio)."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from penstock.config.compile.picking import picking_routes
from penstock.core.health.health import DOWN
from penstock.core.snapshot import Http2, Limits, ListenerTimeouts, RequestLog
from penstock.dataplane.board.layout import S_HEALTH
from tests.harness.ext_proc_messages import (
    ProcessingRequest,
    ProcessingResponse,
    body,
    request_headers,
    response_headers,
)
from tests.harness.fake.gateway import PROCESS, handed_back, picked, prompt
from tests.harness.log import lines_of
from tests.harness.waiting import PATIENCE_S, wait_until
from tests.harness.worker import Worker
from tests.harness.world import Address, listener, pool, world

Start = Callable[..., Worker]
_ONE, _OTHER = Address(1), Address(2)
_HEAD = {":method": "POST", ":path": "/v1/chat/completions", ":scheme": "http", ":authority": "a"}
_SERVICE = "envoy.service.ext_proc.v3.ExternalProcessor"


def picking(start: Start, log: Path) -> Worker:
    made = listener(
        protocol="epp",
        timeouts=ListenerTimeouts(client_body_idle_s=0.0),
        limits=Limits(body_bytes=0, body_rate=0),
        http2=Http2(streams=1000),
    )
    return start(
        world(
            pool(_ONE, _OTHER, kind="llm"),
            listeners=[made],
            routes=picking_routes("main", "main"),
            request_log=RequestLog("file", str(log)),
        )
    )


def conversation(text: bytes) -> Iterator[Any]:
    yield request_headers({**_HEAD, "x-request-id": "of-the-gateway"})
    yield body("request_body", text, ends=True)
    yield response_headers({":status": "200", "content-type": "application/json"})
    yield body("response_body", b"{}", ends=True)


def test_a_gateway_of_another_make_is_served(start: Start, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    worker = picking(start, log)
    host, port = worker.address()
    with grpc.insecure_channel(f"{host}:{port}") as channel:
        process = channel.stream_stream(
            PROCESS,
            request_serializer=ProcessingRequest.SerializeToString,
            response_deserializer=ProcessingResponse.FromString,
        )
        text = prompt("x" * 300_000)
        answers = list(process(conversation(text), timeout=PATIENCE_S))
        assert picked(answers) == [_ONE.name, _OTHER.name]
        assert handed_back(answers) == (text, True)
        assert handed_back(answers, "response_body") == (b"{}", True)
        (line,) = lines_of(log, 1)
        assert (line["id"], line["endpoint"]) == ("of-the-gateway", _ONE.name)
        assert (line["status"], line["end"], line["model"]) == (200, "done", "m")

        health = health_pb2_grpc.HealthStub(channel)

        def serves(name: str) -> bool:
            request = health_pb2.HealthCheckRequest(service=name)
            status: int = health.Check(request, timeout=PATIENCE_S).status
            return status == int(health_pb2.HealthCheckResponse.SERVING)

        assert all(serves(name) for name in ("", "liveness", "readiness", _SERVICE))
        for place in (_ONE, _OTHER):
            worker.set_state("main", place, S_HEALTH, DOWN)
        wait_until(lambda: not serves("readiness"), "the worker knows")
        assert serves("liveness")
        assert not serves(_SERVICE)
