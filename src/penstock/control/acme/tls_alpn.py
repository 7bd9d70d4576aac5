"""TLS-ALPN-01 (RFC 8737): names are confirmed by a certificate that only this question is shown.

The library ``acme`` knows it no more since its version 5, so what of it an order needs is here.
"""

from functools import cache
from hashlib import sha256
from typing import Any, Final

_ACME_IDENTIFIER: Final = "1.3.6.1.5.5.7.1.31"
_OCTET_STRING: Final = b"\x04\x20"  # in DER, of 32 bytes


@cache
def challenge_class() -> Any:
    """The library's class of such challenges, made where it has none."""
    from acme import challenges

    known = challenges.Challenge.TYPES.get("tls-alpn-01")
    if known is not None:
        return known

    @challenges.ChallengeResponse.register
    class TlsAlpn01Response(challenges.KeyAuthorizationChallengeResponse):
        typ = "tls-alpn-01"

    @challenges.Challenge.register
    class TlsAlpn01(challenges.KeyAuthorizationChallenge):
        response_cls = TlsAlpn01Response
        typ = "tls-alpn-01"

        def validation(self, account_key: Any, **_: Any) -> str:
            return str(self.key_authorization(account_key))

    return TlsAlpn01


def challenge_certificate(name: str, authorization: str) -> str:
    """Its key and itself, as one PEM: it has the name, and a digest of the key authorization."""
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = generate_private_key(SECP256R1())
    digest = _OCTET_STRING + sha256(authorization.encode()).digest()
    subject = x509.Name([])
    now = datetime.now(UTC)
    identifier = x509.UnrecognizedExtension(x509.ObjectIdentifier(_ACME_IDENTIFIER), digest)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=7))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(identifier, critical=True)
        .sign(key, SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return (pem + made.public_bytes(Encoding.PEM)).decode()
