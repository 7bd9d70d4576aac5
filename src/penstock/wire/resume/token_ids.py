"""Token ids that an engine is asked for in its client's stead: kept, and hidden from the client.

vLLM, asked with ``return_token_ids``, tells those of the prompt in its first event and those of
each piece in every event (``ChatCompletionStreamResponse``, ``CompletionStreamResponse``). A prompt
of ids goes on exactly where the answer was cut, which its text may not: the same text can be cut
into other tokens.
"""

import re
from typing import Final

WISH: Final = b'"return_token_ids":true,'
_KEY: Final = b'"token_ids"'
_PROMPT_KEY: Final = b'"prompt_token_ids"'
# Inside of a text the quotes would be escaped, so these are keys.
_FIELD: Final = re.compile(
    rb',\s*+"(prompt_)?token_ids"\s*+:\s*+(null|\[[0-9,\s]*+\])'
    rb'|"(prompt_)?token_ids"\s*+:\s*+(null|\[[0-9,\s]*+\])\s*+,'
)


class TokenIds:
    """Of one stream, through which its whole events go."""

    def __init__(self) -> None:
        self.prompt: list[int] = []
        self.answer: list[int] = []
        self.events: int = 0  # that told some of the answer's

    def take_out(self, data: bytes, texts: bool) -> bytes:
        """The events without ids. ``texts``: what they bring counts as the answer's."""
        if _KEY not in data and _PROMPT_KEY not in data:
            return data
        if texts:
            for found in _FIELD.finditer(data):
                listed = found.group(2) or found.group(4)
                if listed == b"null":
                    continue
                ids = [int(each) for each in listed[1:-1].split(b",") if each.strip()]
                if found.group(1) or found.group(3):
                    if not self.prompt:
                        self.prompt = ids
                elif ids:
                    self.answer += ids
                    self.events += 1
        return _FIELD.sub(b"", data)
