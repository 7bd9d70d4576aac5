"""What an API is: it reads requests into the terms of OpenAI's, and writes answers in its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar

import msgspec

from penstock.fleet.engine.frame import Frame
from penstock.fleet.engine.intake import RequestRefusedError
from penstock.fleet.engine.protocol import ChatRequest, CompletionRequest

_T = TypeVar("_T")

Reason = Literal["stop", "length", "tool"]


class Usage(NamedTuple):
    """Tokens of a finished request; ``cached`` is None where the engine does not say."""

    prompt: int
    cached: int | None
    output: int


class Identity(NamedTuple):
    """Of one answer. ``number`` is 16 hexadecimal digits; ``created`` is Unix time in seconds."""

    number: str
    created: int
    model: str


class Answer(NamedTuple):
    """What is known of an answer when its generation begins: all of it."""

    text: str
    reason: Reason
    tool: str  # that is called; empty for text
    prompt_tokens: int
    prompt_ids: list[int] = []  # noqa: RUF012 - a named tuple's; never changed

    @property
    def arguments(self) -> str:
        """Of the tool's call, as JSON."""
        return msgspec.json.encode({"text": self.text}).decode()


class Writer(ABC):
    """The bytes of one answer."""

    stream_type: ClassVar[str] = "text/event-stream"
    first_number: ClassVar[int] = -1  # of a token's event; below 0 they have none

    cumulative: ClassVar[bool] = False  # whether each event tells all that came so far

    def __init__(self, identity: Identity, answer: Answer) -> None:
        self.identity = identity
        self.answer = answer

    @abstractmethod
    def opening(self) -> bytes:
        """What goes out with the first token."""

    @abstractmethod
    def frame(self) -> Frame: ...

    def event_of(self, tokens: int, last: bool) -> bytes:
        """That of the last of so many tokens, of one that is ``cumulative``."""
        raise NotImplementedError

    @abstractmethod
    def closing(self, usage: Usage) -> bytes:
        """What follows the last token."""

    @abstractmethod
    def whole(self, usage: Usage) -> bytes:
        """An answer that is not streamed."""


class Asked(NamedTuple):
    """A request as an engine takes it in."""

    prompt: ChatRequest | CompletionRequest
    writer: type[Writer]
    stream: bool

    def tool(self) -> str:
        """The tool that the answer calls, empty for none."""
        return self.prompt.called_tool() if isinstance(self.prompt, ChatRequest) else ""


class Api(ABC):
    """One API. Has no state."""

    @abstractmethod
    def read(self, body: bytes) -> Asked:
        """Raises RequestRefusedError."""

    @abstractmethod
    def refusal(self, refused: RequestRefusedError) -> bytes:
        """The body of an error, as the API's clients read it."""

    def status(self, refused: RequestRefusedError) -> int:
        return refused.status


def decoded(body: bytes, kind: type[_T]) -> _T:
    """The JSON of a request. Raises RequestRefusedError."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestRefusedError(str(error)) from error


def event(body: dict[str, Any], name: str = "") -> bytes:
    """A server-sent event."""
    naming = f"event: {name}\n".encode() if name else b""
    return naming + b"data: " + msgspec.json.encode(body) + b"\n\n"
