"""The emulated engines' tokenizer, chat template and language model.

A token is four bytes of UTF-8. Every part of a rendered conversation is padded to whole tokens, so
that a conversation's next prompt begins, token for token, with the last one and its answer. What
the model says depends only on the eight bytes before and on the position, and so does where it
ends: a cut answer that is continued goes on as it would have.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence as Seq
from typing import Any

import msgspec
import xxhash

from penstock.fleet.vocabulary import CHARS_PER_TOKEN, WORDS

TOKEN_BYTES = CHARS_PER_TOKEN

# What an image costs, whatever its size: about a 512×512 tile in common vision models.
_IMAGE_TOKENS = 256

_TOKENS = tuple(f" {word}".encode() for word in WORDS)
_TOKEN_INTS = tuple(int.from_bytes(token, "little") for token in _TOKENS)


class ChatMessage(msgspec.Struct):
    role: str
    content: str | list[Any] | None = None
    tool_calls: Any = None
    tool_call_id: str | None = None


def render_chat(messages: Seq[ChatMessage], tools: Any = None, continued: bool = False) -> bytes:
    """The prompt of a conversation; ``continued`` leaves its last message open for more."""
    parts: list[bytes] = []
    if tools:
        parts.append(_whole(b"<|tools|>\n" + msgspec.json.encode(tools)))
    for message in messages:
        parts.append(_whole(f"<|{message.role}|>\n".encode()))
        parts.append(_whole(_content(message)))
    if continued and messages:
        parts[-1] = _content(messages[-1])
    else:
        parts.append(_whole(b"<|assistant|>\n"))
    return b"".join(parts)


def render_tokens(ids: Seq[int]) -> bytes:
    """A prompt given as token ids."""
    return b"".join((token & 0xFFFFFFFF).to_bytes(TOKEN_BYTES, "little") for token in ids)


def padded(prompt: bytes) -> bytes:
    """A prompt in whole tokens, at least one."""
    return _whole(prompt) or b" " * TOKEN_BYTES


def token_ids(data: bytes | memoryview) -> list[int]:
    """The tokens of ``data``, which is whole, as 32-bit numbers."""
    ids = array("I")
    ids.frombytes(data)
    return ids.tolist()


def block_hashes(data: bytes, block_tokens: int, seed: int) -> list[int]:
    """A hash for each full block of ``data``, chained: equal ones stand for equal beginnings."""
    size = block_tokens * TOKEN_BYTES
    view = memoryview(data)
    hashes: list[int] = []
    for start in range(0, len(data) - size + 1, size):
        seed = xxhash.xxh3_64_intdigest(view[start : start + size], seed)
        hashes.append(seed)
    return hashes


def answer(
    prompt: bytes, *, at_most: int, at_least: int = 1, mean_tokens: int | None
) -> tuple[bytes, bool]:
    """What the model says to ``prompt``, and whether it ended by itself.

    Args:
        at_most: tokens, at least 1.
        at_least: tokens before it may end.
        mean_tokens: how long answers are on average; None: it never ends by itself.
    """
    before = int.from_bytes(prompt[-8:].rjust(8), "little")
    position = -(-len(prompt) // TOKEN_BYTES)
    said: list[bytes] = []
    count = len(_TOKENS)
    for length in range(1, at_most + 1):
        # Multipliers of SplitMix64 (Steele et al. 2014) scatter neighbouring states.
        mixed = (before ^ position * 0x9E3779B97F4A7C15) * 0xBF58476D1CE4E5B9 & _64_BITS
        mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & _64_BITS
        choice = (mixed >> 40) % count
        said.append(_TOKENS[choice])
        before = before >> 32 | _TOKEN_INTS[choice] << 32
        position += 1
        if mean_tokens and length >= at_least and (mixed & 0xFFFFFFFF) % mean_tokens == 0:
            return b"".join(said), True
    return b"".join(said), False


_64_BITS = (1 << 64) - 1


def _content(message: ChatMessage) -> bytes:
    content = message.content
    text = content.encode() if isinstance(content, str) else b"".join(map(_part, content or ()))
    if message.tool_calls:
        text += msgspec.json.encode(message.tool_calls)
    return text


def _part(part: Any) -> bytes:
    """A part of a message: text as it is, anything else as an image, known by its digest."""
    if isinstance(part, dict) and isinstance(part.get("text"), str):
        return str(part["text"]).encode()
    digest = xxhash.xxh3_64_hexdigest(msgspec.json.encode(part)).encode()
    return digest.ljust(_IMAGE_TOKENS * TOKEN_BYTES, b"#")


def _whole(text: bytes) -> bytes:
    return text.ljust(-(-len(text) // TOKEN_BYTES) * TOKEN_BYTES)
