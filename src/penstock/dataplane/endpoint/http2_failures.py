"""Why no whole response came on a stream, in a sentence for the log."""

from penstock.wire.http2.codes import CONNECTION_LOST, REFUSED_STREAM


def why_reset(code: int) -> str:
    """The endpoint reset it, or its connection ended."""
    if code == CONNECTION_LOST:
        return "the endpoint closed the connection before the response was whole"
    if code == REFUSED_STREAM:
        return "the endpoint refused the stream"
    return f"the endpoint reset the stream (code {code})"


def why_late(expired: bool, answered: bool) -> str:
    """Its time passed: of the whole request (``expired``), or of the next thing to come."""
    if expired:
        return "the whole request took too long"
    return "the response stood still too long" if answered else "the first byte took too long"
