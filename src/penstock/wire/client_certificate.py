"""A client's certificate as it is told to others: to endpoints, in logs, in PROXY headers.

The header is RFC 9440's: the DER of the certificate as a byte sequence (RFC 8941, 3.3.5). The
subject is a text as in RFC 4514.
"""

from binascii import b2a_base64
from collections.abc import Iterable
from hashlib import sha256
from typing import Final

HEADER: Final = "Client-Cert"
CHAIN_HEADER: Final = b"Client-Cert-Chain"
CHAIN_LOWER: Final = b"client-cert-chain"
# What an endpoint would take for a certificate that somebody verified. Never passed on.
RESERVED: Final = (b"client-cert", CHAIN_LOWER)

# As ssl tells a subject: relative names from the root down, each of pairs of kind and value.
Subject = tuple[tuple[tuple[str, str], ...], ...]

# RFC 4514, 3. Other kinds keep the name that OpenSSL has for them.
_SHORT: Final[dict[str, str]] = {
    "commonName": "CN",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "streetAddress": "STREET",
    "domainComponent": "DC",
    "userId": "UID",
}
_ESCAPED: Final = frozenset('"+,;<>\\')


class ClientCertificate:
    """One that was verified. ``common_name`` is "" where its subject has none."""

    def __init__(self, der: bytes, subject: Subject) -> None:
        self.subject: str = subject_text(subject)
        self.common_name: str = _common_name(subject)
        self.fingerprint: str = sha256(der).hexdigest()
        self.header_value: bytes = _byte_sequence(der)
        self.chain_value: bytes = b""  # of the other header; b"" where it is not told

    def tell_chain(self, chain: list[bytes]) -> None:
        """Tell those too that vouch for it, as DER: who issued it first, the authority last."""
        self.chain_value = b", ".join([_byte_sequence(der) for der in chain])


def _byte_sequence(der: bytes) -> bytes:
    return b":" + b2a_base64(der, newline=False) + b":"


def subject_text(subject: Subject) -> str:
    """The most specific name first (RFC 4514, 2.1)."""
    names: list[str] = []
    for relative in reversed(subject):
        pairs = [f"{_SHORT.get(kind, kind)}={_escaped(value)}" for kind, value in relative]
        names.append("+".join(pairs))
    return ",".join(names)


def taken_out(names: Iterable[str]) -> frozenset[bytes]:
    """The fields that no client may send, in lower case, where headers of those names tell
    certificates. Ask with ``_`` as ``-``: CGI and WSGI servers do not tell the two apart."""
    return frozenset([*RESERVED, *[name.lower().replace("_", "-").encode() for name in names]])


def _common_name(subject: Subject) -> str:
    found = ""
    for relative in subject:
        for kind, value in relative:
            if kind == "commonName":
                found = value
    return found


def _escaped(value: str) -> str:
    """RFC 4514, 2.4."""
    out: list[str] = []
    last = len(value) - 1
    for at, character in enumerate(value):
        if (
            character in _ESCAPED
            or (character in " #" and at == 0)
            or (character == " " and at == last)
        ):
            out.append("\\" + character)
        elif character == "\0":
            out.append("\\00")
        else:
            out.append(character)
    return "".join(out)
