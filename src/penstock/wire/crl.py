"""Until when certificate revocation lists hold (RFC 5280, 5.1).

OpenSSL checks certificates against them; nothing in Python tells when their time is over.
"""

import re
from binascii import a2b_base64
from calendar import timegm
from typing import Final

_BLOCK: Final = re.compile(rb"-----BEGIN X509 CRL-----(.*?)-----END X509 CRL-----", re.DOTALL)
_SPACE: Final = re.compile(rb"\s+")
# Of a list's base64: what is asked for stands before its entries, which may be millions.
_HEAD_BYTES: Final = 65536

_INTEGER: Final = 0x02
_SEQUENCE: Final = 0x30
_UTC_TIME: Final = 0x17
_GENERALIZED_TIME: Final = 0x18
_TIMES: Final = (_UTC_TIME, _GENERALIZED_TIME)
_LONG_FORM: Final = 0x80


def end_of(pem: bytes) -> float:
    """When the first of the lists ends (``nextUpdate``), in seconds since 1970; 0.0 where none
    tells. Raises ValueError for what is no list."""
    ends = [_next_update(_der(block)) for block in _BLOCK.findall(pem)]
    told = [end for end in ends if end > 0.0]
    return min(told) if told else 0.0


def _der(block: bytes) -> bytes:
    """The beginning of one list."""
    return a2b_base64(_SPACE.sub(b"", block)[:_HEAD_BYTES])


def _next_update(der: bytes) -> float:
    """Of CertificateList: tbsCertList holds version, signature, issuer, thisUpdate, nextUpdate."""
    _, at, _ = _element(der, 0)
    _, at, _ = _element(der, at)
    tag, _, end = _element(der, at)
    if tag == _INTEGER:  # version, which may be absent
        _, _, end = _element(der, end)
    _, _, end = _element(der, end)  # issuer
    tag, _, end = _element(der, end)
    if tag not in _TIMES:
        raise ValueError("a CRL tells no thisUpdate where it should")
    if end >= len(der):
        return 0.0
    tag, begin, end = _element(der, end)
    return _seconds(tag, der[begin:end]) if tag in _TIMES else 0.0


def _element(der: bytes, at: int) -> tuple[int, int, int]:
    """Its tag, and where its content begins and ends (X.690, 8.1)."""
    if at + 2 > len(der):
        raise ValueError("a CRL ends too early")
    size = der[at + 1]
    begin = at + 2
    if size & _LONG_FORM:
        digits = size & ~_LONG_FORM
        size = int.from_bytes(der[begin : begin + digits], "big")
        begin += digits
    return der[at], begin, begin + size


def _seconds(tag: int, text: bytes) -> float:
    """Of a time in UTC (RFC 5280, 4.1.2.5): with two digits of the year, or with four."""
    digits = text.removesuffix(b"Z").decode("ascii", "replace")
    if tag == _UTC_TIME:
        digits = ("19" if digits[:2] >= "50" else "20") + digits
    if len(digits) != 14 or not digits.isdecimal():
        raise ValueError("a CRL tells a time that is none")
    parts = [int(digits[:4])] + [int(digits[place : place + 2]) for place in range(4, 14, 2)]
    return float(timegm((parts[0], parts[1], parts[2], parts[3], parts[4], parts[5])))
