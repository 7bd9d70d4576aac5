"""What all gateways are asked, by whom, and how much they are to let pass."""

import json
from dataclasses import dataclass
from typing import Final

MODEL: Final = "m"
KEY: Final = "sk-" + "0123456789abcdef" * 4
PROMPT_TOKENS: Final = 10
ANSWER_TOKENS: Final = 90
TOKENS: Final = PROMPT_TOKENS + ANSWER_TOKENS  # of a request, as the engine tells it
BODY: Final = json.dumps(
    {
        "model": MODEL,
        "max_tokens": ANSWER_TOKENS,
        "messages": [{"role": "user", "content": "Say hello to the reader, if you please."}],
    }
)
ANSWER: Final = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": MODEL,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello."},
                "finish_reason": "length",
            }
        ],
        "usage": {
            "prompt_tokens": PROMPT_TOKENS,
            "completion_tokens": ANSWER_TOKENS,
            "total_tokens": TOKENS,
        },
    }
)


@dataclass(frozen=True)
class Allowed:
    """To a key: requests and tokens a minute, and requests at a time. By default some ten
    times what one core can pass, so that limits are counted and never reached."""

    requests: int = 10_000_000
    tokens: int = 1_000_000_000
    concurrent: int = 10_000
    budget_tokens: int = 0  # a day; 0: there is no budget


Keys = dict[str, Allowed]  # what each key may do
PLENTY: Final[Keys] = {KEY: Allowed()}
