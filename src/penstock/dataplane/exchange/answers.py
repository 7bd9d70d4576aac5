"""Responses that Penstock makes itself, as values: each protocol writes them in its own form."""

import json
from collections.abc import Mapping, Sequence
from math import ceil
from typing import Final

from penstock.dataplane.route.error_pages import ErrorPages
from penstock.wire.api_family import (
    ANTHROPIC,
    GRPC,
    GRPC_WEB,
    GRPC_WEB_TEXT,
    OLLAMA,
    OPENAI,
)
from penstock.wire.grpc import status_of_own_error, trailers_only
from penstock.wire.grpc_web import trailers_frame
from penstock.wire.http1 import ALLOWED_METHODS, Field, ResponseHead

# What each refusal is called in its JSON body, for programs.
_TYPES: Final[dict[int, str]] = {
    400: "bad_request",
    403: "forbidden",
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

_JSON: Final = (("Content-Type", "application/json"),)
_GRPC_WEB: Final = (("Content-Type", "application/grpc-web+proto"),)
_GRPC_WEB_TEXT: Final = (("Content-Type", "application/grpc-web-text+proto"),)

# The same in Anthropic's API (its reference, errors).
_ANTHROPIC_TYPES: Final[dict[int, str]] = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "invalid_request_error",
    413: "request_too_large",
    417: "invalid_request_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


class Answer:
    """A response of our own: what it says, whatever protocol carries it."""

    goes_on: bool = False  # more of its body follows, which has no length yet

    def __init__(
        self, status: int, body: bytes, headers: Sequence[tuple[str, str]] = (), why: str = ""
    ) -> None:
        self.status: int = status
        self.body: bytes = body
        self.headers: Sequence[tuple[str, str]] = headers
        self.why: str = why  # for the log; empty where nothing was refused
        self.trailers: list[Field] = []  # behind the body, over HTTP/2


def with_page(answer: Answer, pages: ErrorPages | None, accept: bytes) -> Answer:
    """The same with the page that stands in for it, where there is one that the client takes.

    ``accept`` is what it accepts. All other fields stay, such as Retry-After.
    """
    page = pages.page(answer.status, accept) if pages is not None else None
    if page is None:
        return answer
    headers = [("Content-Type", page.content_type), ("Vary", "Accept")]
    headers += [field for field in answer.headers if field[0].lower() != "content-type"]
    return Answer(answer.status, page.body, headers, answer.why)


# Of an endpoint's answer that a page stands in for: what says how to go on.
_KEPT: Final = frozenset((b"retry-after", b"www-authenticate", b"allow"))


def in_place_of(head: ResponseHead, request_id: bytes) -> Answer:
    """An answer of our own in place of an endpoint's, of which nothing but how to go on is told."""
    told = refusal(head.status, "the request failed", request_id=request_id)
    kept = [
        (name.decode("latin-1"), value.decode("latin-1"))
        for lower, name, value in head.fields
        if lower in _KEPT
    ]
    own = [field for field in told.headers if field[0].lower().encode() not in _KEPT]
    why = "the endpoint's answer was replaced by an error page"
    return Answer(head.status, told.body, [*own, *kept], why)


def json_answer(status: int, body: bytes) -> Answer:
    """One whose body is JSON."""
    return Answer(status, body, _JSON)


def refusal(
    status: int,
    message: str,
    *,
    request_id: bytes = b"",
    retry_after_s: int = 0,
    kind: str = "",
    family: int = OPENAI,
) -> Answer:
    """An error in the form that clients of that family already read: of inference APIs as JSON
    (Anthropic's has types of its own and no code), of gRPC as a status without a message.

    Of gRPC-Web that stands in the body: a page of another origin may read few headers.
    """
    if family == GRPC:
        fields = trailers_only(status_of_own_error(status), message)
        headers = [(name.decode(), value.decode("latin-1")) for name, _, value in fields]
        return Answer(200, b"", headers, message)
    if family in (GRPC_WEB, GRPC_WEB_TEXT):
        in_base64 = family == GRPC_WEB_TEXT
        frame = trailers_frame(status_of_own_error(status), message, in_base64)
        return Answer(200, frame, _GRPC_WEB_TEXT if in_base64 else _GRPC_WEB, message)
    if family == ANTHROPIC:
        kind = _ANTHROPIC_TYPES.get(status, "api_error")
    else:
        kind = kind or _TYPES.get(status, "error")
    headers = [*_JSON]
    if status == 405:
        headers.append(("Allow", ALLOWED_METHODS))  # RFC 9110, 15.5.6: it must
    if retry_after_s and status == 503:
        headers.append(("Retry-After", str(retry_after_s)))
    body = _error(message, kind, {"code": status}, family, request_id)
    return Answer(status, body, headers, message)


def wrong_key(message: str, *, family: int, request_id: bytes = b"") -> Answer:
    """No key, or one that lets nobody in (401), as OpenAI's API or Anthropic's says it."""
    if family in (GRPC, GRPC_WEB, GRPC_WEB_TEXT):
        return refusal(401, message, family=family)
    kind = "authentication_error" if family == ANTHROPIC else "invalid_request_error"
    param = {"param": None, "code": "invalid_api_key"}
    body = _error(message, kind, param, family, request_id)
    challenge = ("WWW-Authenticate", 'Bearer realm="penstock"')  # RFC 9110, 15.5.2: it must
    return Answer(401, body, [*_JSON, challenge], message)


_LONG_WAIT_S: Final = 60.0  # clients' own retries are not for more


def limited(
    message: str,
    wait_s: float,
    *,
    kind: str,
    family: int,
    request_id: bytes = b"",
    headers: Sequence[tuple[str, str]] = (),
    spent: bool = False,
) -> Answer:
    """More than is allowed (429), as OpenAI's API or Anthropic's says it.

    ``wait_s``: when it may be asked again; infinite: never so much at once. ``kind``: of what it is
    too much. ``spent``: a budget is. OpenAI's and Anthropic's clients ask again by themselves
    unless ``x-should-retry`` says that it is of no use.
    """
    if family in (GRPC, GRPC_WEB, GRPC_WEB_TEXT):
        answer = refusal(429, message, family=family)
        # gRFC A6, "Pushback": less than nothing keeps a client from asking again by itself.
        pushback = -1 if wait_s > _LONG_WAIT_S else ceil(wait_s * 1000.0)
        answer.headers = [*answer.headers, ("grpc-retry-pushback-ms", str(pushback))]
        return answer
    told = [*_JSON, *headers]
    if wait_s < float("inf"):
        told.append(("Retry-After", str(max(ceil(wait_s), 1))))
    if wait_s > _LONG_WAIT_S:
        told.append(("x-should-retry", "false"))
    param = {"param": None, "code": "insufficient_quota" if spent else "rate_limit_exceeded"}
    if family == ANTHROPIC:
        kind = "rate_limit_error"
    elif spent:
        kind = "insufficient_quota"
    return Answer(429, _error(message, kind, param, family, request_id), told, message)


def forbidden_model(
    model: str, allowed: list[str], *, family: int, request_id: bytes = b""
) -> Answer:
    """A model that the key may not ask for: nobody is told whether there is one of that name."""
    told = unknown_model(model, allowed, family=family, request_id=request_id)
    told.why = f"the key may not ask for the model {model[:MAX_NAME_SHOWN]}"
    return told


_MOST_NAMED: Final = 20  # models in an error
MAX_NAME_SHOWN: Final = 256  # of the one that was asked for


def unknown_model(model: str, known: list[str], *, family: int, request_id: bytes = b"") -> Answer:
    """A model that nobody serves, as OpenAI's API or Anthropic's says it, and which there are."""
    shown = ", ".join(f"`{name}`" for name in known[:_MOST_NAMED])
    more = f" and {len(known) - _MOST_NAMED} more" if len(known) > _MOST_NAMED else ""
    there = f"There are: {shown}{more}." if known else "No endpoint lists any."
    message = f"The model `{model[:MAX_NAME_SHOWN]}` does not exist. {there}"
    kind = "not_found_error" if family == ANTHROPIC else "invalid_request_error"
    param = {"param": "model", "code": "model_not_found"}
    return json_answer(404, _error(message, kind, param, family, request_id))


def bad_body(
    status: int,
    problem: str,
    *,
    family: int,
    request_id: bytes = b"",
    headers: Sequence[tuple[str, str]] = (),
) -> Answer:
    """A body that is not what its API asks for, as OpenAI's API or Anthropic's says it."""
    large = family == ANTHROPIC and status == 413
    kind = "request_too_large" if large else "invalid_request_error"
    body = _error(problem, kind, {"param": None, "code": None}, family, request_id)
    return Answer(status, body, [*_JSON, *headers], problem)


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
