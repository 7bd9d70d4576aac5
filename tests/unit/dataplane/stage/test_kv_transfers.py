"""No client tells an engine with whom to hand over its KV cache."""

import json
from typing import Any

import pytest

from tests.harness.fake.stage import Stage, pool_of
from tests.harness.world import world

_CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
_FROM_ELSEWHERE = {"kv_transfer_params": {"do_remote_prefill": True, "remote_host": "10.6.6.6"}}


def asked(stage: Stage, path: str, body: dict[str, Any], *lines: str) -> bytes:
    """What the client is answered; b"" while the engine has the request."""
    client = stage.client()
    text = json.dumps(body).encode()
    head = [f"POST {path} HTTP/1.1", "Host: a", f"Content-Length: {len(text)}", *lines]
    stage.send(client, "\r\n".join(head).encode() + b"\r\n\r\n" + text)
    return stage.received(client)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {**_CHAT, **_FROM_ELSEWHERE}),
        ("/v1/chat/completions", {**_CHAT, "bootstrap_host": "10.6.6.6"}),
        ("/v1/messages", {**_CHAT, "max_tokens": 1, **_FROM_ELSEWHERE}),
        ("/generate", {"text": "hi", "bootstrap_room": 7}),
        ("/inference/v1/generate", {"token_ids": [1], **_FROM_ELSEWHERE}),
    ],
)
def test_it_is_refused_in_the_apis_form(path: str, body: dict[str, Any]) -> None:
    with Stage(world(pool_of(0, kind="llm"))) as stage:
        head, _, told = asked(stage, path, body).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400 ")
        error = json.loads(told)["error"]
        assert error["type"] == "invalid_request_error"
        assert "between engines" in error["message"]
        assert not stage.servers[0].accepted  # no engine heard of it


def test_a_pool_may_trust_its_clients() -> None:
    with Stage(world(pool_of(0, kind="llm", kv_transfers="pass"))) as stage:
        assert asked(stage, "/v1/chat/completions", {**_CHAT, **_FROM_ELSEWHERE}) == b""
        _, request = stage.asked(0)
        assert b"10.6.6.6" in request
