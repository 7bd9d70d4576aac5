"""What is known of the work of an endpoint that serves a language model, by who knows it.

A new signal is a field of the group that it belongs to; ARCHITECTURE.md says what carries it.
"""

from typing import Final

_NONE_LOADED: Final[list[int]] = []  # shared, never changed


class Tokens:
    """What policies that observe it count there: in this process, or in all others together."""

    def __init__(self) -> None:
        # Of prompts sent and not answered yet, without what its cache is believed to hold.
        self.pending_prefill: int = 0
        self.held: int = 0  # in its KV cache, by all requests that run
        self.decoding: int = 0  # requests whose answer has begun
        self.prefilled: int = 0  # a running total


class Reported:
    """What its engine last said of itself."""

    def __init__(self) -> None:
        self.at: float = -1.0  # when, on the Env's clock; -1: it did not, or too long ago
        self.kv_capacity: int = 0  # tokens; 0 while it is not known
        self.most_running: int = 0  # requests it serves at a time; 0: not told, or no such bound
        self.waiting: int = -1  # requests that wait in it; -1: not told
        self.loaded: list[int] = _NONE_LOADED  # hashes of models and adapters in its memory
