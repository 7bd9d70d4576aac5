"""What a PROXY header of version 2 tells of TLS that ended at its sender.

Source: HAProxy, doc/proxy-protocol.txt, section 2.2.6.
"""

from typing import Final

TLV_SSL: Final = 0x20
_VERSION: Final = 0x21
_COMMON_NAME: Final = 0x22
_CIPHER: Final = 0x23
_OVER_TLS: Final = 0x01
_CERTIFICATE_ON_CONNECTION: Final = 0x02
_CERTIFICATE_IN_SESSION: Final = 0x04
_VERIFIED: Final = bytes(4)  # 0: it showed one that is good, or showed none and needs none
_MAX_NAME_BYTES: Final = 255  # of a common name (RFC 5280, ub-common-name, has 64)


def ssl_value(version: str, cipher: str, common_name: str | None) -> bytes:
    """The value of TLV_SSL. ``common_name`` is that of the client's certificate, "" where it has
    none, None where it showed no certificate."""
    client = _OVER_TLS
    if common_name is not None:
        client |= _CERTIFICATE_ON_CONNECTION | _CERTIFICATE_IN_SESSION
    parts = [bytes((client,)), _VERIFIED, _tlv(_VERSION, version)]
    if common_name and len(common_name.encode()) <= _MAX_NAME_BYTES:
        parts.append(_tlv(_COMMON_NAME, common_name))
    parts.append(_tlv(_CIPHER, cipher))
    return b"".join(parts)


def _tlv(kind: int, text: str) -> bytes:
    value = text.encode()
    return bytes((kind,)) + len(value).to_bytes(2, "big") + value
