"""Requests and responses as bytes, written out only as far as a test cares."""

HELLO = b"5\r\nhello\r\n"
LAST = b"0\r\n\r\n"


def head(start: str, *lines: bytes | str, host: str | None = "site.example") -> bytes:
    """A request head with a Host unless told otherwise; ``lines`` come after it."""
    fields = [] if host is None else [f"Host: {host}"]
    return _lines(start, *fields, *lines)


def get(target: str = "/", *lines: bytes | str) -> bytes:
    """A GET with those header lines after Host."""
    return head(f"GET {target} HTTP/1.1", *lines)


def post(*lines: bytes | str, body: bytes = b"", target: str = "/form") -> bytes:
    """A POST with those header lines after Host, and a body for which they account."""
    return head(f"POST {target} HTTP/1.1", *lines) + body


def chunked(body: bytes) -> bytes:
    """A POST whose chunked body is exactly these bytes."""
    return post("Transfer-Encoding: chunked", body=body)


def answer(*lines: bytes | str, body: bytes = b"hello", status: str = "200 OK") -> bytes:
    """A response with those header lines, and a body for which they account."""
    return _lines(f"HTTP/1.1 {status}", *lines) + body


def answer_of(body: bytes, status: str = "200 OK") -> bytes:
    """A response with that body."""
    return answer(f"Content-Length: {len(body)}", body=body, status=status)


def chunked_answer(body: bytes) -> bytes:
    """A response whose chunked body is exactly these bytes."""
    return answer("Transfer-Encoding: chunked", body=body)


def _lines(*lines: bytes | str) -> bytes:
    encoded = [line if isinstance(line, bytes) else line.encode("latin-1") for line in lines]
    return b"\r\n".join([*encoded, b"", b""])
