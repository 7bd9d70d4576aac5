"""What the balancer answers itself is for people to read."""

import json
from math import inf

import pytest

from penstock.dataplane.exchange.answers import limited, unknown_model
from penstock.wire.api_family import GRPC, OPENAI


def told(known: list[str]) -> str:
    message: str = json.loads(unknown_model("gpt", known, family=OPENAI).body)["error"]["message"]
    return message


def test_who_asks_for_an_unknown_model_is_told_which_there_are() -> None:
    assert told(["a", "b"]) == "The model `gpt` does not exist. There are: `a`, `b`."
    assert told([str(n) for n in range(22)]).endswith("`18`, `19` and 2 more.")


def test_where_there_is_no_model_that_is_said() -> None:
    assert told([]) == "The model `gpt` does not exist. No endpoint lists any."


@pytest.mark.parametrize(("wait_s", "pushback"), [(2.5, "2500"), (3600.0, "-1"), (inf, "-1")])
def test_clients_of_grpc_are_told_when_to_ask_again(wait_s: float, pushback: str) -> None:
    """gRFC A6: less than nothing keeps a client from asking again by itself."""
    told = dict(limited("the limit is reached", wait_s, kind="requests", family=GRPC).headers)
    assert told["grpc-status"] == "8"
    assert told["grpc-retry-pushback-ms"] == pushback
