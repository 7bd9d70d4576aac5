"""Whether a client's certificate that was verified before would be let in by newer files.

It is compared with the authorities and revocation lists alone: signatures and times were checked in
its handshake, and whoever is turned away by mistake has another.
"""

import re
from binascii import a2b_base64
from typing import Final

from penstock.wire.crl import RevocationList, lists_in
from penstock.wire.der import element

_BLOCK: Final = re.compile(
    rb"-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----(.*?)-----END", re.DOTALL
)
_SPACE: Final = re.compile(rb"\s+")
_VERSION: Final = 0xA0  # [0], which may be absent


class Issued:
    """What says of a certificate who it is and who issued it, each as DER has it. Raises ValueError
    for what is none (RFC 5280, 4.1)."""

    def __init__(self, der: bytes) -> None:
        _, at, _ = element(der, 0)
        _, at, _ = element(der, at)
        tag, _, end = element(der, at)
        if tag == _VERSION:
            at = end
            _, _, end = element(der, at)
        self.serial: bytes = der[at:end]
        _, _, at = element(der, end)  # the algorithm of the signature
        _, _, end = element(der, at)
        self.issuer: bytes = der[at:end]
        _, _, at = element(der, end)  # validity
        _, _, end = element(der, at)
        self.subject: bytes = der[at:end]


class ClientTrust:
    """Of one listener. Raises ValueError for files that are none."""

    def __init__(self, authorities: bytes, revocations: bytes) -> None:
        """``authorities``, ``revocations``: files of PEM."""
        self._authorities: set[bytes] = set()
        self._names: set[bytes] = set()
        for block in _BLOCK.findall(authorities):
            der = a2b_base64(_SPACE.sub(b"", block))
            self._authorities.add(der)
            self._names.add(Issued(der).subject)
        self._lists: list[RevocationList] = lists_in(revocations)

    def lists_bytes(self) -> int:
        """How much is looked through for each certificate, at most."""
        return sum([len(each) for each in self._lists])

    def holds(self, chain: list[bytes]) -> bool:
        """Whether they are let in who showed this: the client's certificate first, its authority
        last. One alone is of a session that was resumed, which tells no more."""
        issued = [Issued(der) for der in chain]
        for each in issued:
            for found in self._lists:
                if found.issuer == each.issuer and found.names(each.serial):
                    return False
        if len(chain) == 1:
            return issued[0].issuer in self._names or chain[0] in self._authorities
        return any([der in self._authorities for der in chain])
