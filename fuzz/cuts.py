"""What comes over a connection, cut anywhere."""

from collections.abc import Iterator


def cut(data: bytes) -> tuple[bytes, list[bytes]]:
    """The bytes behind the first one, as a whole and in pieces, as the first one says."""
    if not data:
        return b"", []
    how, whole = data[0], data[1:]
    return whole, list(_pieces(whole, how))


def _pieces(data: bytes, how: int) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        size = 1 + (how * 31 + at * 7) % (1 + how % 40)
        yield data[at : at + size]
        at += size
