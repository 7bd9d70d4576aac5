"""Certificates as a listener uses them: checked with their keys, and asked for their names."""

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final, cast

# OpenSSL, include/openssl/x509_vfy.h: X509_V_FLAG_NO_CHECK_TIME. An expired certificate still
# says for whom it was issued.
_NO_CHECK_TIME: Final = 0x200000


def check_certificate(certificate: Path, key: Path) -> ssl.SSLContext:
    """A server context that holds the pair. Raises ValueError, for people, where that fails."""
    for path in (certificate, key):
        try:
            path.open("rb").close()
        except OSError as error:
            raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, password=_refuse_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ValueError(f"the key {key} does not belong to {certificate}") from error
        raise ValueError(
            f"{certificate} and {key} are not a certificate and its key in PEM form "
            f"({error.reason or error})"
        ) from error
    return context


def issued_names(certificate: Path, server: ssl.SSLContext) -> tuple[str, ...]:
    """The DNS names a certificate was issued for (RFC 9525: subject alternative names only).

    The standard library shows the contents of a verified peer's certificate only, so client and
    server shake hands in memory, with the certificate itself as what the client trusts.
    Raises ValueError when they cannot.
    """
    try:
        peer = _shown(certificate, server)
    except ssl.SSLError as error:
        raise ValueError(
            f"{certificate} does not say which names it is for ({error.reason or error}); "
            "give `server_names`"
        ) from error
    alternatives = cast("tuple[tuple[str, str], ...]", peer.get("subjectAltName", ()))
    return tuple(name.lower() for kind, name in alternatives if kind == "DNS")


def end_of_certificate(certificate: Path, server: ssl.SSLContext) -> float:
    """When it ends, in seconds since 1970. Raises ValueError where it cannot be told."""
    try:
        peer = _shown(certificate, server)
    except ssl.SSLError as error:
        raise ValueError(f"{certificate} does not say when it ends: {error}") from error
    if "notAfter" not in peer:
        raise ValueError(f"{certificate} does not say when it ends")
    return float(ssl.cert_time_to_seconds(cast("str", peer["notAfter"])))


def check_authorities(ca_file: Path) -> None:
    """Raises ValueError, for people, when the file holds no certificates."""
    try:
        ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError as error:
        raise ValueError(f"{ca_file} holds no certificates in PEM form") from error
    except OSError as error:
        raise ValueError(f"{ca_file} cannot be read: {error.strerror}") from error


def _shown(certificate: Path, server: ssl.SSLContext) -> Mapping[str, object]:
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VerifyFlags(ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME)
    client.load_verify_locations(certificate)
    return _shake_hands(client, server).getpeercert() or {}


def _refuse_password() -> str:
    raise ValueError("the key is encrypted; give an unencrypted one, readable by Penstock only")


def _shake_hands(client: ssl.SSLContext, server: ssl.SSLContext) -> ssl.SSLObject:
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(to_client, to_server)
    answering = server.wrap_bio(to_server, to_client, server_side=True)
    # TLS 1.3 needs two turns of each side, 1.2 three (RFC 8446, 2; RFC 5246, 7.3).
    for _ in range(3):
        for side in (asking, answering):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return asking
