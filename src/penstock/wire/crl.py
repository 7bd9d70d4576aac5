"""Until when certificate revocation lists hold, and whom they name (RFC 5280, 5.1).

OpenSSL checks certificates against them in handshakes; nothing in Python tells when their time is
over, or checks a certificate that was let in before.
"""

import re
from binascii import a2b_base64
from calendar import timegm
from typing import Final

from penstock.wire.der import INTEGER, element

_BLOCK: Final = re.compile(rb"-----BEGIN X509 CRL-----(.*?)-----END X509 CRL-----", re.DOTALL)
_SPACE: Final = re.compile(rb"\s+")
# Of a list's base64: what is asked for stands before its entries, which may be millions.
_HEAD_BYTES: Final = 65536

_UTC_TIME: Final = 0x17
_GENERALIZED_TIME: Final = 0x18
_TIMES: Final = (_UTC_TIME, _GENERALIZED_TIME)


def end_of(pem: bytes) -> float:
    """When the first of the lists ends (``nextUpdate``), in seconds since 1970; 0.0 where none
    tells. Raises ValueError for what is no list."""
    ends = [_next_update(_der(block)) for block in _BLOCK.findall(pem)]
    told = [end for end in ends if end > 0.0]
    return min(told) if told else 0.0


class RevocationList:
    """One list. Raises ValueError for what is none."""

    def __init__(self, der: bytes) -> None:
        _, at, _ = element(der, 0)
        _, at, end = element(der, at)
        tag, _, after = element(der, at)
        if tag == INTEGER:
            at = after
            _, _, after = element(der, at)
        _, _, issuer_end = element(der, after)
        self.issuer: bytes = der[after:issuer_end]  # the Name, as certificates have it
        self._entries: bytes = der[issuer_end:end]

    def __len__(self) -> int:
        """Bytes that are looked through."""
        return len(self._entries)

    def names(self, serial: bytes) -> bool:
        """Whether it has an entry for that serial number, which is an INTEGER as DER has it.

        An entry is that and a time. The entries are looked through as bytes: of a million, each
        read by itself, a worker would take seconds.
        """
        entries = self._entries
        return any([entries.find(serial + bytes([tag])) >= 0 for tag in _TIMES])


def lists_in(pem: bytes) -> list[RevocationList]:
    """All of a file. Raises ValueError for what is no list."""
    return [RevocationList(a2b_base64(_SPACE.sub(b"", block))) for block in _BLOCK.findall(pem)]


def _der(block: bytes) -> bytes:
    """The beginning of one list."""
    return a2b_base64(_SPACE.sub(b"", block)[:_HEAD_BYTES])


def _next_update(der: bytes) -> float:
    """Of CertificateList: tbsCertList holds version, signature, issuer, thisUpdate, nextUpdate."""
    _, at, _ = element(der, 0)
    _, at, _ = element(der, at)
    tag, _, end = element(der, at)
    if tag == INTEGER:  # version, which may be absent
        _, _, end = element(der, end)
    _, _, end = element(der, end)  # issuer
    tag, _, end = element(der, end)
    if tag not in _TIMES:
        raise ValueError("a CRL tells no thisUpdate where it should")
    if end >= len(der):
        return 0.0
    tag, begin, end = element(der, end)
    return _seconds(tag, der[begin:end]) if tag in _TIMES else 0.0


def _seconds(tag: int, text: bytes) -> float:
    """Of a time in UTC (RFC 5280, 4.1.2.5): with two digits of the year, or with four."""
    digits = text.removesuffix(b"Z").decode("ascii", "replace")
    if tag == _UTC_TIME:
        digits = ("19" if digits[:2] >= "50" else "20") + digits
    if len(digits) != 14 or not digits.isdecimal():
        raise ValueError("a CRL tells a time that is none")
    parts = [int(digits[:4])] + [int(digits[place : place + 2]) for place in range(4, 14, 2)]
    return float(timegm((parts[0], parts[1], parts[2], parts[3], parts[4], parts[5])))
