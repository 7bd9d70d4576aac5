"""The prompt of a request to a language model as canonical bytes. See ``openai.py``."""

from typing import Final

from xxhash import xxh3_64_digest

from penstock.wire import openai_bodies as bodies
from penstock.wire.openai_bodies import NOTHING, Message, Part

# Objects in a body, each of which may become one of ours: a bound on time and memory.
MAX_OBJECTS: Final = 100_000
_LIST: Final = ord("[")
_MOST_QUOTES: Final = 4 * MAX_OBJECTS  # around the texts of one list of parts


def _parts(data: bytes) -> list[Part | str]:
    """A list of parts, texts among them. Raises TooManyParts."""
    if len(data) > _MOST_QUOTES and data.count(b'"') - data.count(b'\\"') > _MOST_QUOTES:
        raise TooManyParts
    return bodies.parts.decode(data)


class TooManyParts(Exception):
    """More parts than are read."""


class PromptText:
    """The canonical pieces of a prompt, in rendered order."""

    def __init__(self) -> None:
        self.pieces: list[bytes | memoryview] = []  # views of the body as far as can be
        self.images: int = 0
        self.opening: int = 0  # pieces up to the first turn of the user, itself included

    def add(self, raw: object) -> None:
        """A raw field; nothing when it is absent."""
        if raw is not NOTHING:
            self.pieces.append(memoryview(raw))  # type: ignore[arg-type]

    def add_media(self, raw: object) -> None:
        if raw is not NOTHING:
            self.pieces.append(xxh3_64_digest(memoryview(raw)))  # type: ignore[arg-type]
            self.images += 1

    def add_content(self, raw: object, nested: bool = False) -> None:
        """Text, or a list of parts. ``nested``: a tool's result, whose content may be parts again,
        images among them, but no deeper."""
        if raw is NOTHING:
            return
        data = memoryview(raw)  # type: ignore[arg-type]
        if data[0] == _LIST:
            for part in _parts(bytes(data)):
                if isinstance(part, str):
                    self.pieces.append(part.encode())
                elif nested:
                    self.add(part.text)
                    self.add_media(part.image_url)
                    self.add_media(part.source)
                else:
                    self.add_part(part)
        else:
            self.pieces.append(data)

    def add_part(self, part: Part) -> None:
        self.add(part.text)
        if part.type == "text" or part.type == "input_text" or part.type == "output_text":
            return
        self.add_media(part.image_url)
        self.add_media(part.source)
        self.add_media(part.input_audio)
        self.add_media(part.audio_url)
        self.add_media(part.video_url)
        self.add_media(part.file)
        self.add_media(part.file_data)
        self.add(part.id)
        self.add(part.name)
        self.add(part.input)
        self.add(part.tool_use_id)
        self.add_content(part.content, True)
        self.add(part.thinking)
        self.add(part.refusal)

    def add_message(self, message: Message) -> None:
        self.pieces.append(message.role.encode())
        self.add_content(message.content)
        self.add(message.name)
        self.add(message.tool_calls)
        self.add(message.tool_call_id)
        self.add(message.function_call)
        self.add(message.reasoning_content)

    def add_item(self, item: Message) -> None:
        """An item of the input of a response: a message, or a tool's call or result."""
        self.add_message(item)
        self.add(item.call_id)
        self.add(item.arguments)
        self.add_content(item.output)
        self.add(item.summary)
        self.add(item.encrypted_content)
