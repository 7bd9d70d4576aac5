"""Fields between engines are found in clients' bodies, in whatever API and however written."""

import json

import pytest

from penstock.wire.kv_transfers import FIELDS
from penstock.wire.openai import (
    ANTHROPIC,
    CHAT,
    COMPLETION,
    EMBEDDING,
    LLAMACPP,
    OTHER,
    RESPONSE,
    inspect,
)

_CHAT: dict[str, object] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
_BODIES: dict[int, dict[str, object]] = {
    CHAT: _CHAT,
    COMPLETION: {"model": "m", "prompt": "hi"},
    EMBEDDING: {"model": "m", "input": "hi"},
    RESPONSE: {"model": "m", "input": "hi"},
    LLAMACPP: {"prompt": "hi"},
    ANTHROPIC: {**_CHAT, "max_tokens": 4},
    OTHER: {"text": "hi"},
}


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("api", list(_BODIES))
def test_each_is_found_in_each_api(api: int, field: str) -> None:
    assert inspect(api, json.dumps(_BODIES[api]).encode()).transfer == ""
    for value in ({"remote_host": "10.0.0.9"}, [1], "x", 1, None):
        body = json.dumps({**_BODIES[api], field: value}).encode()
        assert inspect(api, body).transfer == field


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"m","prompt":"a","kv_transfer_params":{},"kv_transfer_params":null}',
        rb'{"model":"m","prompt":"a","\u006bv_transfer_params":{}}',
        b'{"model":"m","prompt":"a","stream":"true","kv_transfer_params":{}}',  # read laxly
        b'{"model":"m","prompt":"a","vllm_xargs":{"kv_transfer_params":{}}}',
        rb'{"model":"m","prompt":"a","vllm_xargs":{"\u006bv_transfer_params":{}}}',
        b'{"prompt":[{"a":1}],"model":7,"kv_transfer_params":{}}',  # no request, for us
        b'{"model":"m","prompt":"a","kv_transfer_params":{},}',  # no JSON
    ],
)
def test_it_is_found_however_it_is_written(body: bytes) -> None:
    assert inspect(COMPLETION, body).transfer == "kv_transfer_params"


def test_text_that_speaks_of_them_is_text() -> None:
    text = 'what is "kv_transfer_params": {"remote_host": "a"} and bootstrap_room?'
    body = {**_CHAT, "messages": [{"role": "user", "content": text}], "vllm_xargs": {"a": 1}}
    assert inspect(CHAT, json.dumps(body).encode()).transfer == ""
    tool = {"type": "function", "function": {"name": "f", "parameters": {"bootstrap_host": 1}}}
    assert inspect(CHAT, json.dumps({**_CHAT, "tools": [tool]}).encode()).transfer == ""
