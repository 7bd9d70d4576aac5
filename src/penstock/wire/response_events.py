"""Events of OpenAI's Responses and Realtime over WebSocket: JSON texts, one to a message.

Sources: OpenAI API reference (Responses, WebSocket events) and its guide to WebSocket mode. A
client asks by ``response.create``, whose other fields are those of a POST; what the engine answers
are the events of a stream. ``stream_id`` names a lane: its responses come one after another, those
of different lanes beside each other. Errors are events too. Realtime has the same form; its
responses end with ``response.done``, whatever became of them, and may begin without being asked
for.
"""

from typing import Final

import msgspec

from penstock.wire import openai_bodies as bodies

CREATE: Final = "response.create"
CREATED: Final = "response.created"
DONE: Final = "response.done"  # of Realtime
ERROR: Final = "error"
# What the last event of a response may be.
_LAST: Final = frozenset(
    (
        "response.completed",
        "response.failed",
        "response.incomplete",
        "response.cancelled",
        DONE,
        ERROR,
    )
)
_ABOUT: Final = ("previous_response_id", "response_id")  # fields that name a response
_MAX_LANE: Final = 256  # characters of its name
_SERVER_ERROR: Final = 500


class ClientEvent:
    """What a client says. ``kind`` is "" where it is no event, and ``problem`` says why."""

    def __init__(self, kind: str, lane: str, about: str, problem: str = "", name: str = "") -> None:
        self.kind: str = kind
        self.name: str = name  # that its client gave it
        self.lane: str = lane  # "" for the one without a name
        self.about: str = about  # the response that it is about, or goes on from
        self.problem: str = problem


class EngineEvent:
    """What an engine says."""

    def __init__(
        self, kind: str, status: int, response: str, became: str = "", about: str = ""
    ) -> None:
        self.kind: str = kind
        self.status: int = status  # of an error, as HTTP would tell it; else 200
        self.response: str = response  # that it is about, where it tells
        self.became: str = became  # of that, in a word
        self.about: str = about  # the client's event that an error is about

    @property
    def is_last(self) -> bool:
        """Whether its response ends with it."""
        return self.kind in _LAST


def client_event(message: bytes) -> ClientEvent:
    """Read one. Never raises."""
    try:
        said = bodies.said.decode(message)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return ClientEvent("", "", "", f"this is no event: {error}")
    lane = said.stream_id or ""
    if len(lane) > _MAX_LANE:
        return ClientEvent("", "", "", f"`stream_id` has over {_MAX_LANE} characters")
    about = said.previous_response_id or said.response_id or ""
    return ClientEvent(said.type, lane, about, name=said.event_id or "")


def engine_event(message: bytes) -> EngineEvent:
    """Read one; whatever it is else passes as an event without a type. Never raises."""
    try:
        told = bodies.told.decode(message)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return EngineEvent("", 200, "")
    status = 200
    if told.type == ERROR:
        status = told.status or 0
        if not 400 <= status < 600:
            status = _SERVER_ERROR
    about = told.error.event_id if told.error is not None else None
    response = told.response
    if response is None:
        return EngineEvent(told.type, status, told.response_id or "", about=about or "")
    return EngineEvent(told.type, status, response.id, response.status or "", about or "")


def error_event(
    status: int, body: bytes, headers: list[tuple[str, str]], lane: str = "", about: str = ""
) -> bytes:
    """The event for an error that HTTP would answer with that status and body; ``about``: the
    client's event that is answered so, by its name."""
    told: dict[str, object] = {}
    try:
        told = msgspec.json.decode(body, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass  # a page of somebody's own
    error: dict[str, object] = {"type": "error", "message": "the request failed"}
    found = told.get("error")
    if isinstance(found, dict):
        error = found
    if not isinstance(error.get("code"), str):
        error["code"] = None  # over HTTP ours is the status
    error.setdefault("param", None)
    if about:
        error["event_id"] = about
    if headers:
        error["headers"] = {name.lower(): value for name, value in headers}
    event: dict[str, object] = {"type": ERROR, "status": status, "error": error}
    if lane:
        event["stream_id"] = lane
    return msgspec.json.encode(event)


def about_another(message: bytes, told: str, known: str) -> bytes:
    """A client's event about the response that it knows as ``told``, for the engine that calls it
    ``known``; any other as it came."""
    if msgspec.json.encode(told) not in message:
        return message
    try:
        event = bodies.fields.decode(message)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return message
    changed = False
    for name in _ABOUT:
        if name in event and bodies.anything.decode(bytes(event[name])) == told:
            event[name] = msgspec.Raw(msgspec.json.encode(known))
            changed = True
    return msgspec.json.encode(event) if changed else message


def cancel_event(response: str) -> bytes:
    """What ends a response of Realtime."""
    return msgspec.json.encode({"type": "response.cancel", "response_id": response})


def as_sse(message: bytes) -> bytes:
    """An event as a stream of HTTP would have it (WHATWG HTML, 9.2): on one line. Line breaks in
    JSON stand between its tokens alone."""
    if b"\n" in message:
        message = message.replace(b"\n", b" ")
    if b"\r" in message:
        message = message.replace(b"\r", b" ")
    return b"data: %b\n\n" % message


def of_sse(stream: bytes) -> bytes:
    """The other way round."""
    return stream.removeprefix(b"data: ").removesuffix(b"\n\n")
