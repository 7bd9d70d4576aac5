"""A head is forwarded with a body other than the client's."""

import pytest

from penstock.wire.forwarding import ForwardedHead, is_sealed

DIGESTS = ("Content-Digest", "repr-digest", "Digest", "Content-MD5")
SIGNATURES = ("Signature", "X-Amz-Content-SHA256")


def head_with(*names: str, length: int = 12) -> ForwardedHead:
    """A head with fields of these names."""
    head = ForwardedHead(b"POST", b"/", b"a.example")
    head.content_length = length
    head.chunked = length < 0
    head.fields = [(name.lower().encode(), name.encode(), b"x") for name in names]
    return head


def test_a_head_tells_the_length_of_the_body_that_is_sent() -> None:
    assert head_with().for_other_body(7, False).http1() == head_with(length=7).http1()


def test_a_head_of_chunks_tells_no_length() -> None:
    head = head_with(length=-1)
    assert head.for_other_body(7, False).http1() == head.http1()


@pytest.mark.parametrize("name", DIGESTS)
@pytest.mark.parametrize("length", [12, -1])
def test_a_digest_of_the_clients_body_is_not_told_of_another(name: str, length: int) -> None:
    expected = head_with("B", "C", length=length if length < 0 else 7).http1()
    assert head_with("B", name, "C", length=length).for_other_body(7, False).http1() == expected


@pytest.mark.parametrize("name", [*DIGESTS, *SIGNATURES])
def test_a_head_that_vouches_for_its_body_is_known(name: str) -> None:
    assert is_sealed(head_with("A", name).fields)


def test_other_heads_vouch_for_nothing() -> None:
    assert not is_sealed(head_with("Content-Type", "Content-Length").fields)
