"""Token ids that an engine is asked for in its client's stead: kept, and hidden from the client.

vLLM, asked with ``return_token_ids``, tells those of the prompt in its first event and those of
each piece in every event (``ChatCompletionStreamResponse``, ``CompletionStreamResponse``). A prompt
of ids goes on exactly where the answer was cut, which its text may not: the same text can be cut
into other tokens.
"""

from typing import Final

WISH: Final = b'"return_token_ids":true,'
# Both keys end so. Inside of a text the quote would be escaped, so what stands there is a key.
_KEY_END: Final = b'token_ids"'
_PROMPTS: Final = b'"prompt_'
_QUOTE: Final = 34
_COMMA: Final = 44
_COLON: Final = 58
_BRACKET: Final = 91
_BLANKS: Final = b" \t\r\n"


class TokenIds:
    """Of one stream, through which its whole events go."""

    def __init__(self) -> None:
        self.prompt: list[int] = []
        self.answer: list[int] = []
        self.events: int = 0  # that told some of the answer's

    def take_out(self, data: bytes, texts: bool) -> bytes:
        """The events without ids. ``texts``: what they bring counts as the answer's."""
        at = data.find(_KEY_END)
        if at < 0:
            return data
        kept: list[bytes] = []
        done = 0
        while at >= 0:
            behind = at + len(_KEY_END)
            of_prompt = data.endswith(_PROMPTS, done, at)
            start = at - len(_PROMPTS) if of_prompt else at - 1
            value = _after_colon(data, behind)
            end = _end_of_ids(data, value) if start >= done and data[start] == _QUOTE else -1
            if end >= 0:
                if texts and data[value] == _BRACKET:
                    self._take(data[value + 1 : end - 1], of_prompt)
                start, end = _with_comma(data, start, end, done)
                kept.append(data[done:start])
                done = behind = end
            at = data.find(_KEY_END, behind)
        kept.append(data[done:])
        return b"".join(kept)

    def _take(self, listed: bytes, of_prompt: bool) -> None:
        if b"," in listed:
            ids = [int(each) for each in listed.split(b",")]
        else:
            single = listed.strip()
            ids = [int(single)] if single else []
        if of_prompt:
            if not self.prompt:
                self.prompt = ids
        elif ids:
            self.answer += ids
            self.events += 1


def _after_colon(data: bytes, at: int) -> int:
    """Where the value of a key begins that ends there; -1 where none follows."""
    size = len(data)
    while at < size and data[at] in _BLANKS:
        at += 1
    if at >= size or data[at] != _COLON:
        return -1
    at += 1
    while at < size and data[at] in _BLANKS:
        at += 1
    return at if at < size else -1


def _end_of_ids(data: bytes, at: int) -> int:
    """Where the ids end that begin there; -1 of anything else."""
    if at < 0:
        return -1
    if data.startswith(b"null", at):
        return at + 4
    if data[at] != _BRACKET:
        return -1
    end = data.find(b"]", at)
    if end < 0 or data[at + 1 : end].strip(b"0123456789, \t\r\n"):
        return -1
    return end + 1


def _with_comma(data: bytes, start: int, end: int, done: int) -> tuple[int, int]:
    """A field with the comma that parts it from another, before it or else behind it."""
    before = start - 1
    while before >= done and data[before] in _BLANKS:
        before -= 1
    if before >= done and data[before] == _COMMA:
        return before, end
    size = len(data)
    behind = end
    while behind < size and data[behind] in _BLANKS:
        behind += 1
    return (start, behind + 1) if behind < size and data[behind] == _COMMA else (start, end)
