"""A head is forwarded with a body other than the client's."""

import pytest

from penstock.wire.forwarding import REQUEST_ID_LINE, for_other_body, is_sealed
from penstock.wire.http1 import RequestHead

DIGESTS = ("Content-Digest", "repr-digest", "Digest", "Content-MD5")
SIGNATURES = ("Signature", "X-Amz-Content-SHA256")


def head_with(*names: str, length: int = 12) -> tuple[RequestHead, bytes]:
    """A head with fields of these names, and what is forwarded of it."""
    head = RequestHead(b"", b"POST", b"/", 1)
    head.content_length = length
    head.fields = [(name.lower().encode(), name.encode(), b"x") for name in names]
    lines = [f"{name}: x".encode() for name in names]
    framing = b"Transfer-Encoding: chunked" if length < 0 else b"Content-Length: %d" % length
    return head, b"\r\n".join([b"POST / HTTP/1.1", b"A: 12", *lines, framing, REQUEST_ID_LINE])


def test_a_head_tells_the_length_of_the_body_that_is_sent() -> None:
    head, prefix = head_with()
    assert for_other_body(prefix, head, 7) == head_with(length=7)[1]


def test_a_head_of_chunks_tells_no_length() -> None:
    head, prefix = head_with(length=-1)
    assert for_other_body(prefix, head, 7) == prefix


@pytest.mark.parametrize("name", DIGESTS)
@pytest.mark.parametrize("length", [12, -1])
def test_a_digest_of_the_clients_body_is_not_told_of_another(name: str, length: int) -> None:
    head, prefix = head_with("B", name, "C", length=length)
    expected = head_with("B", "C", length=length if length < 0 else 7)[1]
    assert for_other_body(prefix, head, 7) == expected


@pytest.mark.parametrize("name", [*DIGESTS, *SIGNATURES])
def test_a_head_that_vouches_for_its_body_is_known(name: str) -> None:
    assert is_sealed(head_with("A", name)[0])


def test_other_heads_vouch_for_nothing() -> None:
    assert not is_sealed(head_with("Content-Type", "Content-Length")[0])
