"""How many more hops a request may take (RFC 9110, 7.6.2)."""

from typing import Final

from penstock.wire.http1 import RequestHead

_MOST_HOPS: Final = 2**31 - 1


def hops_left(head: RequestHead) -> int:
    """What Max-Forwards allows: 0 for a request that ends here, -1 where it sets no bound.

    It does for OPTIONS alone, TRACE being refused (RFC 9110, 7.6.2).
    """
    if head.method != b"OPTIONS":
        return -1
    value = head.value(b"max-forwards")
    if value is None or not value.isdigit():
        return -1
    return min(int(value.lstrip(b"0")[:10] or b"0"), _MOST_HOPS)
