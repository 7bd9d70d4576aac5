"""What an engine keeps under an id that it made: files, batches, conversations and the like.

Only the engine that made it knows it, so requests about it go there, as far as ids tell. Sources:
OpenAI API reference; Anthropic API reference (message batches); llama.cpp's server README
(resumable streams).
"""

import re
from typing import Final
from urllib.parse import parse_qsl

import msgspec

from penstock.wire import openai_bodies as bodies
from penstock.wire.session_keys import session_hash

_COLLECTIONS: Final = (
    rb"/(?:files|batches|conversations|uploads|vector_stores|threads|assistants|containers"
    rb"|fine_tuning/jobs|evals|videos|chat/completions)"
)
_COLLECTION: Final = re.compile(_COLLECTIONS + rb"/?")
_THING: Final = re.compile(_COLLECTIONS + rb"/([^/]+)(?:/.*)?")
_STREAM: Final = b"/v1/stream"
_MOST_NAMES: Final = 100  # of one answer


def thing_in(target: bytes) -> int:
    """The hash of the id of what a request's target is about; else 0."""
    path, _, query = target.partition(b"?")
    at = path.find(b"/v1/")
    if at < 0:
        return 0
    found = _THING.fullmatch(path[at + 3 :].removeprefix(b"/messages"))
    if found is not None:
        return session_hash(found.group(1))
    if path.endswith(_STREAM):
        return session_hash(dict(parse_qsl(query)).get(b"conv_id", b""))
    return 0


def makes_things(method: bytes, target: bytes) -> bool:
    """Whether an answer may tell the id of something that its engine keeps."""
    path = target.partition(b"?")[0]
    at = path.find(b"/v1/")
    if at < 0 or method not in (b"POST", b"GET"):
        return False
    rest = path[at + 3 :].removeprefix(b"/messages")
    if rest == b"/chat/completions":
        return False  # the prompt's own reading goes along with its answer
    return _COLLECTION.fullmatch(rest) is not None or _THING.fullmatch(rest) is not None


def names_in(answer: bytes) -> list[str]:
    """The ids that an answer tells."""
    try:
        made = bodies.made.decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []
    told = [made.id, made.output_file_id, made.error_file_id]
    told += [each.id for each in (made.data or ())[:_MOST_NAMES]]
    return [name for name in told if isinstance(name, str) and name]


def thing_named(body: bytes) -> int:
    """The hash of the id of what a request is to work on, by its body; else 0."""
    try:
        asking = bodies.asking.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return 0
    name = asking.input_file_id or asking.training_file or asking.file_id or ""
    return session_hash(name.encode("utf-8", "surrogatepass"))
