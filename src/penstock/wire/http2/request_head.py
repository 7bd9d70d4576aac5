"""A request's header block as the head that routes, policies and HTTP/1.1 endpoints know.

The codec has refused what is malformed (RFC 9113, 8.1.1); here is what HTTP/1.1's requests are held
to besides, so that both reach endpoints in one form.
"""

from penstock.wire.http1 import (
    CONFUSABLE,
    BadMessage,
    RequestHead,
    check_target,
    normalise_path,
)
from penstock.wire.http2.header_block import HeaderBlock
from penstock.wire.websocket_handshake import ONLY_IN_HTTP1


def request_head_of(
    block: HeaderBlock, ends: bool, max_target_bytes: int, merge_slashes: bool
) -> RequestHead:
    """``ends``: no content follows. Content without a length is to be forwarded in chunks.

    Extended CONNECT becomes what asks for the same in HTTP/1.1, but for the key of a WebSocket (RFC
    8441, 5), so that all rules of requests hold for it. Raises BadMessage.
    """
    extended = block.protocol != b""
    if extended:
        if block.content_length > 0:
            raise BadMessage(400, "CONNECT has no content")
        ends = True
    head = RequestHead(b"", b"GET" if extended else block.method, block.path, 1)
    head.version = b"2.0"
    head.host = block.authority or block.value(b"host") or b""
    if len(block.path) > max_target_bytes:
        raise BadMessage(414, f"the target is over {max_target_bytes} bytes")
    for field in block.fields:
        lower, _, value = field
        if lower == b"host" or (b"_" in lower and lower.replace(b"_", b"-") in CONFUSABLE):
            continue
        if extended and (lower in ONLY_IN_HTTP1 or lower == b"content-length"):
            continue
        if lower == b"expect":
            if value.lower() != b"100-continue":
                raise BadMessage(417, "the only expectation known is 100-continue")
            head.expects_continue = not ends
        head.fields.append(field)
    head.fields.append((b"host", b"host", head.host))
    if extended:
        head.extended_connect = True
        head.upgrade = True
        head.connection = [b"upgrade"]
        head.fields.append((b"connection", b"Connection", b"Upgrade"))
        head.fields.append((b"upgrade", b"Upgrade", block.protocol))
    elif ends or block.content_length >= 0:
        head.content_length = block.content_length
    else:
        head.chunked = True
    check_target(head)
    normalise_path(head, merge_slashes)
    return head
