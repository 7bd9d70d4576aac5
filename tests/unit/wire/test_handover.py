"""What engines are asked and told where one computes a prompt and another answers."""

import json

import pytest

from penstock.wire.handover.connector import with_fields
from penstock.wire.handover.mooncake import Mooncake
from penstock.wire.handover.nixl import Nixl
from penstock.wire.handover.sglang import Sglang

_ASKED = {
    "model": "m",
    "messages": [{"role": "user", "content": "hé \U0001f600"}],
    "stream": True,
    "stream_options": {"include_usage": True},
    "max_tokens": 500,
    "min_tokens": 3,
    "temperature": 0.10,
}
_TOLD = {"do_remote_prefill": True, "remote_block_ids": [1, 2], "remote_port": 5600}


def test_the_computing_half_makes_one_token_and_no_stream() -> None:
    body = json.dumps({**_ASKED, "max_completion_tokens": 500}).encode()
    asked = json.loads(Nixl().prefill_body(body, b"{}"))
    assert asked["kv_transfer_params"] == {
        "do_remote_decode": True,
        "do_remote_prefill": False,
        "remote_engine_id": None,
        "remote_block_ids": None,
        "remote_host": None,
        "remote_port": None,
    }
    assert (asked["stream"], asked["max_tokens"], asked["max_completion_tokens"]) == (False, 1, 1)
    assert "stream_options" not in asked
    assert "min_tokens" not in asked
    assert asked["messages"] == _ASKED["messages"]
    assert "max_completion_tokens" not in json.loads(
        Nixl().prefill_body(json.dumps(_ASKED).encode(), b"{}")
    )


def test_the_answering_half_is_asked_as_the_client_did_and_told_the_rest() -> None:
    body = json.dumps(_ASKED).encode()
    answer = json.dumps({"choices": [], "kv_transfer_params": _TOLD}).encode()
    told = Nixl().handed_over(answer)
    assert json.loads(told) == _TOLD
    assert json.loads(Nixl().decode_body(body, told)) == {**_ASKED, "kv_transfer_params": _TOLD}


@pytest.mark.parametrize(
    "answer",
    [b"", b"{}", b"[]", b"\xff", b'{"kv_transfer_params":null}', b'{"kv_transfer_params":"a"}'],
)
def test_an_answer_may_hand_over_nothing(answer: bytes) -> None:
    assert Nixl().handed_over(answer) == b""


def test_halves_that_meet_are_told_where() -> None:
    body = json.dumps(_ASKED).encode()
    meeting = Sglang().meeting("10.0.0.1", 8998, (1 << 63) - 1, "p")
    where = {
        "bootstrap_host": "10.0.0.1",
        "bootstrap_port": 8998,
        "bootstrap_room": (1 << 63) - 1,
    }
    assert json.loads(Sglang().decode_body(body, meeting)) == {**_ASKED, **where}
    computing = json.loads(Sglang().prefill_body(body, meeting))
    assert computing == {
        **{name: value for name, value in _ASKED.items() if name != "stream_options"},
        **where,
        "stream": False,
    }


@pytest.mark.parametrize(
    ("host", "address"), [("10.0.0.1", "10.0.0.1"), ("2001:db8::1", "[2001:db8::1]")]
)
def test_mooncakes_halves_are_told_of_one_transfer(host: str, address: str) -> None:
    body = json.dumps({**_ASKED, "max_completion_tokens": 500}).encode()
    meeting = Mooncake().meeting(host, 8998, 255, "engine-p")
    transfer = "xfer-00000000000000ff"
    answering = json.loads(Mooncake().decode_body(body, meeting))
    assert answering == {
        **_ASKED,
        "max_completion_tokens": 500,
        "kv_transfer_params": {
            "do_remote_decode": False,
            "do_remote_prefill": True,
            "remote_bootstrap_addr": f"http://{address}:8998",
            "remote_engine_id": "engine-p",
            "transfer_id": transfer,
        },
    }
    computing = json.loads(Mooncake().prefill_body(body, meeting))
    assert computing["kv_transfer_params"] == {
        "do_remote_decode": True,
        "do_remote_prefill": False,
        "transfer_id": transfer,
    }
    of_one_token = [computing[key] for key in ("stream", "max_tokens", "max_completion_tokens")]
    assert of_one_token == [False, 1, 1]
    assert "stream_options" not in computing
    assert "min_tokens" not in computing


def test_what_is_not_changed_stays_as_it_is_written() -> None:
    body = b'\xef\xbb\xbf {"a": 1.50, "b" : [1e3,  "\\u00e9"], "c": 12345678901234567890}'
    assert with_fields(body, {"d": b"1"}, ("c",)) == b'{"a":1.50,"b":[1e3,  "\\u00e9"],"d":1}'


@pytest.mark.parametrize("body", [b"", b"[1]", b"{", b'{"a":1}}', b"\xff", rb'{"b":"\ud83d"}'])
def test_what_is_no_object_cannot_be_asked_for(body: bytes) -> None:
    assert with_fields(body, {"a": b"1"}) == b""
