"""Responses that Penstock makes itself."""

import json
from collections.abc import Mapping, Sequence
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

from penstock.wire.api_family import ANTHROPIC, OLLAMA, OPENAI
from penstock.wire.forwarding import Edit, edited
from penstock.wire.http1 import ALLOWED_METHODS

# What each refusal is called in its JSON body, for programs.
_TYPES: Final[dict[int, str]] = {
    400: "bad_request",
    404: "no_route",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "body_too_large",
    414: "target_too_long",
    417: "expectation_failed",
    429: "too_many_requests",
    431: "headers_too_large",
    500: "internal_error",
    501: "not_implemented",
    502: "bad_gateway",
    503: "no_endpoint",
    504: "gateway_timeout",
    505: "version_not_supported",
    508: "loop",
}

# The same in Anthropic's API (its reference, errors).
_ANTHROPIC_TYPES: Final[dict[int, str]] = {
    400: "invalid_request_error",
    408: "invalid_request_error",
    413: "request_too_large",
    417: "invalid_request_error",
    503: "overloaded_error",
    504: "timeout_error",
}


def reason_phrase(status: int) -> str:
    """The standard phrase for a status; "" for one that has none."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def response(
    status: int,
    body: bytes,
    *,
    keep_alive: bool,
    without_body: bool = False,
    request_id: bytes = b"",
    headers: Sequence[tuple[str, str]] = (),
) -> bytes:
    """A whole response. ``without_body`` leaves the body out but tells its length (HEAD)."""
    lines = [f"HTTP/1.1 {status} {reason_phrase(status)}", f"Date: {formatdate(usegmt=True)}"]
    if status != 204 and status != 304:
        lines.append(f"Content-Length: {len(body)}")
    lines += [f"{name}: {value}" for name, value in headers]
    if not keep_alive:
        lines.append("Connection: close")
    if request_id:
        lines.append(f"X-Request-ID: {request_id.decode('latin-1')}")
    head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
    return head if without_body or status in (204, 304) else head + body


def refusal(
    status: int,
    message: str,
    *,
    keep_alive: bool,
    without_body: bool = False,
    request_id: bytes = b"",
    retry_after_s: int = 0,
    kind: str = "",
    family: int = OPENAI,
) -> bytes:
    """An error as JSON, in the form that clients of that family of inference APIs already read;
    Anthropic's has types of its own and no code."""
    if family == ANTHROPIC:
        kind = _ANTHROPIC_TYPES.get(status, "api_error")
    else:
        kind = kind or _TYPES.get(status, "error")
    body = _error(message, kind, {"code": status}, family, request_id)
    headers = [("Content-Type", "application/json")]
    if status == 405:
        headers.append(("Allow", ALLOWED_METHODS))  # RFC 9110, 15.5.6: it must
    if retry_after_s:
        headers.append(("Retry-After", str(retry_after_s)))
    return response(
        status,
        body,
        keep_alive=keep_alive,
        without_body=without_body,
        request_id=request_id,
        headers=headers,
    )


_MOST_NAMED: Final = 20  # models in an error
MAX_NAME_SHOWN: Final = 256  # of the one that was asked for


def unknown_model(
    model: str,
    known: list[str],
    *,
    family: int,
    keep_alive: bool,
    request_id: bytes = b"",
) -> bytes:
    """A model that nobody serves, as OpenAI's API or Anthropic's says it, and which there are."""
    shown = ", ".join(f"`{name}`" for name in known[:_MOST_NAMED])
    more = f" and {len(known) - _MOST_NAMED} more" if len(known) > _MOST_NAMED else ""
    there = f"There are: {shown}{more}." if known else "No endpoint lists any."
    message = f"The model `{model[:MAX_NAME_SHOWN]}` does not exist. {there}"
    kind = "not_found_error" if family == ANTHROPIC else "invalid_request_error"
    param = {"param": "model", "code": "model_not_found"}
    return _api_error(404, message, kind, param, family, keep_alive, request_id)


def bad_body(
    status: int,
    problem: str,
    *,
    family: int,
    keep_alive: bool,
    request_id: bytes = b"",
    headers: Sequence[tuple[str, str]] = (),
) -> bytes:
    """A body that is not what its API asks for, as OpenAI's API or Anthropic's says it."""
    large = family == ANTHROPIC and status == 413
    kind = "request_too_large" if large else "invalid_request_error"
    param = {"param": None, "code": None}
    return _api_error(status, problem, kind, param, family, keep_alive, request_id, headers)


def _api_error(
    status: int,
    message: str,
    kind: str,
    param: Mapping[str, object],  # OpenAI's alone
    family: int,
    keep_alive: bool,
    request_id: bytes,
    headers: Sequence[tuple[str, str]] = (),
) -> bytes:
    return response(
        status,
        _error(message, kind, param, family, request_id),
        keep_alive=keep_alive,
        request_id=request_id,
        headers=[("Content-Type", "application/json"), *headers],
    )


def _error(
    message: str, kind: str, param: Mapping[str, object], family: int, request_id: bytes
) -> bytes:
    """The body; Ollama's clients take no more than a sentence."""
    if family == OLLAMA:
        return json.dumps({"error": message}).encode() + b"\n"
    error: dict[str, object] = {"message": message, "type": kind}
    told: dict[str, object] = {"error": error}
    if family == ANTHROPIC:
        told["type"] = "error"
    else:
        error.update(param)
    if request_id:
        (told if family == ANTHROPIC else error)["request_id"] = request_id.decode("latin-1")
    return json.dumps(told).encode() + b"\n"


def dressed(answer: bytes, edits: list[Edit]) -> bytes:
    """An answer of ours after edits of its head, as endpoints' answers are edited."""
    head, _, body = answer.partition(b"\r\n\r\n")
    start, *lines = head.split(b"\r\n")
    fields: list[tuple[bytes, bytes, bytes]] = []
    for line in lines:
        name, _, value = line.partition(b": ")
        fields.append((name.lower(), name, value))
    lines = [b"%b: %b" % (name, value) for _, name, value in edited(fields, edits)]
    return b"\r\n".join([start, *lines, b"", body])
