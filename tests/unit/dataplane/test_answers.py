"""What the balancer answers itself is for people to read."""

import json

from penstock.dataplane.exchange.answers import unknown_model
from penstock.wire.api_family import OPENAI


def told(known: list[str]) -> str:
    message: str = json.loads(unknown_model("gpt", known, family=OPENAI).body)["error"]["message"]
    return message


def test_who_asks_for_an_unknown_model_is_told_which_there_are() -> None:
    assert told(["a", "b"]) == "The model `gpt` does not exist. There are: `a`, `b`."
    assert told([str(n) for n in range(22)]).endswith("`18`, `19` and 2 more.")


def test_where_there_is_no_model_that_is_said() -> None:
    assert told([]) == "The model `gpt` does not exist. No endpoint lists any."
