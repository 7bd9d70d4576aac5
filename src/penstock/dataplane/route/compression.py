"""Which answers are compressed, by their heads and those of their requests."""

from typing import Final

from penstock.core import snapshot
from penstock.wire.content_encoding import can_encode
from penstock.wire.encoded_head import encoded_head
from penstock.wire.forwarding import is_sealed
from penstock.wire.http1 import RequestHead, ResponseHead, all_values
from penstock.wire.negotiation import best_coding

# What becomes of an answer, if its client takes a coding.
PASSED: Final = 0  # as it came
COMPRESSED: Final = 1
COMPRESSED_IF_LARGE: Final = 2  # its length is not told
VALIDATED: Final = 3  # a 304: the client has it, perhaps compressed
# As it came too, and more is known of why.
PASSED_TYPE: Final = 4
PASSED_SMALL: Final = 5
PASSED_PRIVATE: Final = 6

# Why an answer is not compressed: of ``board.layout.UNCOMPRESSED``.
UNSUITABLE: Final = 0
TYPE: Final = 1
SMALL: Final = 2
PRIVATE: Final = 3
NOT_ACCEPTED: Final = 4
BUSY: Final = 5

# Without content, or with a part of it (RFC 9110, 15.3.5, 15.3.6 and 15.3.7).
_NEVER: Final = frozenset((204, 205, 206))
# What streams: it has no end in sight, and clients wait for each piece.
STREAMED: Final = frozenset(
    ("text/event-stream", "application/x-ndjson", "multipart/x-mixed-replace")
)
_GRPC: Final = b"application/grpc"  # and gRPC-Web: messages are compressed one by one there


class Compression:
    """One route's on its way to one pool."""

    def __init__(self, spec: snapshot.Compression) -> None:
        self.minimum_bytes: int = spec.minimum_size
        self._codings: list[bytes] = [c.encode() for c in spec.codings if can_encode(c.encode())]
        self._types: set[bytes] = {each.encode() for each in spec.types}
        self._private: bool = spec.private

    def coding_for(self, head: RequestHead, own_cookie: bytes = b"") -> bytes:
        """The coding for answers to a request with this head; b"": none.

        ``own_cookie``: the name of the one that binds a client to its endpoint, which is no secret.

        What a page shows of a secret can be guessed from the length of its compressed form, by who
        chooses another part of it (the attack BREACH): answers to somebody known are left alone.
        """
        if head.bodiless or (head.value(b"content-type") or b"").startswith(_GRPC):
            return b""
        if not self._private and _is_of_somebody(head, own_cookie):
            return b""
        return best_coding(all_values(head.fields, b"accept-encoding"), self._codings)

    def why_none(self, head: RequestHead, own_cookie: bytes = b"") -> int:
        """Why there is no coding for answers to that request."""
        if head.bodiless or (head.value(b"content-type") or b"").startswith(_GRPC):
            return UNSUITABLE
        if not self._private and _is_of_somebody(head, own_cookie):
            return PRIVATE
        return NOT_ACCEPTED

    def verdict(self, head: ResponseHead) -> int:
        """What is to become of an answer with this head; worked out once for each."""
        if head.judged_by is not self:
            head.judged_by = self
            head.verdict = self._judge(head)
            head.variants = None
        return head.verdict

    def _judge(self, head: ResponseHead) -> int:
        length = head.content_length
        if head.status == 304:
            return VALIDATED
        if head.status in _NEVER or is_sealed(head.fields):
            return PASSED
        if 0 <= length < self.minimum_bytes:
            return PASSED_SMALL
        media_type = b""
        for lower, _, value in head.fields:
            if lower == b"content-type":
                media_type = value.partition(b";")[0].strip(b" \t").lower()
            elif self._forbids(lower, value):
                return PASSED_PRIVATE if lower == b"set-cookie" else PASSED
        if not self._holds(media_type):
            return PASSED_TYPE
        return COMPRESSED if length >= 0 else COMPRESSED_IF_LARGE

    def _forbids(self, lower: bytes, value: bytes) -> bool:
        """Whether a field has the answer pass as it came."""
        if lower == b"content-encoding":
            return value.lower() != b"identity"
        if lower == b"cache-control":
            return b"no-transform" in value.lower()  # RFC 9111, 5.2.2.6
        if lower == b"set-cookie":
            return not self._private
        return lower == b"content-range" or lower == b"trailer"

    def _holds(self, media_type: bytes) -> bool:
        if media_type in self._types:
            return True
        kind, slash, _ = media_type.partition(b"/")
        streamed = media_type.decode("latin-1") in STREAMED
        return slash != b"" and kind + b"/*" in self._types and not streamed


def _is_of_somebody(head: RequestHead, own_cookie: bytes) -> bool:
    """Whether credentials or cookies say who asks."""
    for lower, _, value in head.fields:
        if lower == b"authorization":
            return True
        if lower == b"cookie":
            names = [pair.partition(b"=")[0].strip(b" \t") for pair in value.split(b";")]
            if any([name != own_cookie for name in names if name]):
                return True
    return False


def passed_head(head: ResponseHead, request: RequestHead, verdict: int) -> ResponseHead:
    """The head of an answer that is not compressed, but might have been for another client."""
    weak = False
    if verdict == VALIDATED:
        # The client asks about what it has, whose ETag was made weak: RFC 9111, 4.3.4.
        etag = all_values(head.fields, b"etag")
        weak = etag != b"" and b"W/" + etag in all_values(request.fields, b"if-none-match")
        if not weak:
            return head
    return encoded_head(head, b"", weak)


def compression_of(
    route: snapshot.Compression | None, pool: snapshot.Compression | None
) -> Compression | None:
    """The route's, or else the pool's; None where nothing is compressed."""
    spec = route if route is not None else pool
    return Compression(spec) if spec is not None and spec.codings else None
