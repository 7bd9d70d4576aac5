"""TLS of a listener: its certificates, and what it asks of clients."""

import ssl
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from penstock.config.compile.acme import compile_acme
from penstock.config.compile.certificates import (
    check_authorities,
    check_certificate,
    issued_names,
)
from penstock.config.compile.revocations import (
    TOLD_AHEAD_S,
    check_revocations,
    lacking_lists,
    told_end,
)
from penstock.config.document.listeners import Certificate, ListenerTls
from penstock.config.document.section import plain
from penstock.config.load.errors import Location
from penstock.config.load.findings import Findings
from penstock.core import snapshot

# Keys that mean nothing where clients are not asked for certificates.
_OF_CLIENT_CERTIFICATES: Final = (
    "client_certificate",
    "client_certificate_header",
    "client_certificate_chain",
    "crl_file",
)
# What OpenSSL has for suites without a certificate, and without encryption.
_UNSAFE: Final = ("Au=None", "Enc=None")


def compile_certificates(
    certificates: Sequence[Certificate], at: Location, findings: Findings
) -> tuple[snapshot.Certificate, ...]:
    """In order: the first also serves clients that ask for no known name."""
    compiled: list[snapshot.Certificate] = []
    serves: dict[str, int] = {}
    for index, pair in enumerate(certificates):
        here = (*at, "certificates", index)
        names = pair.server_names or ()
        file, key = findings.path(pair.certificate), findings.path(pair.key)
        with findings.noting(here):
            context = check_certificate(file, key)
            if pair.server_names is None and len(certificates) > 1:
                names = issued_names(file, context)
        for name in names:
            if serves.setdefault(name, index) != index:
                findings.wrong(here, f"another certificate serves {name} already")
        compiled.append(snapshot.Certificate(str(file), str(key), tuple(names)))
    return tuple(compiled)


def compile_listener_tls(
    tls: ListenerTls, protocol: str, at: Location, findings: Findings
) -> snapshot.ListenerTls:
    """What it says beside its certificates, with every file tried."""
    authorities = _file(tls.client_ca_file, findings)
    revocations = _file(tls.crl_file, findings)
    if authorities is None:
        for key in _OF_CLIENT_CERTIFICATES:
            if key in tls.model_fields_set:
                findings.wrong(
                    (*at, key),
                    "has no effect: clients are asked for certificates where `client_ca_file` "
                    "names who issues them",
                )
    else:
        with findings.noting((*at, "client_ca_file")):
            check_authorities(authorities)
    if revocations is not None:
        with findings.noting((*at, "crl_file")):
            end = check_revocations(revocations)
            doubt = lacking_lists(authorities, revocations) if authorities is not None else ""
            if doubt:
                findings.doubtful((*at, "crl_file"), doubt)
            if 0.0 < end < time.time() + TOLD_AHEAD_S:
                findings.doubtful((*at, "crl_file"), f"{revocations} {told_end(end, time.time())}")
    if protocol != "http" and "client_certificate_header" in tls.model_fields_set:
        findings.wrong(
            (*at, "client_certificate_header"),
            f"has no effect: `protocol: {protocol}` reads no HTTP; `proxy_protocol: v2` of the "
            "pool tells endpoints the certificate's name",
        )
    if tls.client_certificate_chain and authorities is not None:
        _check_chain(tls, at, findings, protocol)
    _check_suites(tls, at, findings)
    return plain(
        snapshot.ListenerTls,
        tls,
        acme=compile_acme(tls.acme, (*at, "acme"), findings) if tls.acme is not None else None,
        client_ca_file=str(authorities or ""),
        crl_file=str(revocations or ""),
        client_certificate_header=tls.client_certificate_header or "",
    )


def _check_chain(tls: ListenerTls, at: Location, findings: Findings, protocol: str) -> None:
    here = (*at, "client_certificate_chain")
    if protocol != "http":
        findings.wrong(here, f"has no effect: `protocol: {protocol}` reads no HTTP")
    elif tls.client_certificate_header is None:
        findings.wrong(
            here,
            "goes with the certificate itself (RFC 9440, 2.3), which `client_certificate_header: "
            "off` keeps from endpoints",
        )


def _file(name: str | None, findings: Findings) -> Path | None:
    return findings.path(name) if name is not None else None


def _check_suites(tls: ListenerTls, at: Location, findings: Findings) -> None:
    here = (*at, "cipher_suites")
    for suite in tls.cipher_suites:
        with findings.noting(here):
            _check_suite(suite)
    if not tls.cipher_suites:
        return
    if tls.minimum_version == "1.3":
        findings.wrong(
            here,
            'has no effect with `minimum_version: "1.3"`: these are suites of TLS 1.2, and Python '
            "before 3.15 cannot choose those of TLS 1.3",
        )
    else:
        findings.doubtful(
            here,
            "holds for TLS 1.2 alone: Python before 3.15 cannot choose the suites of TLS 1.3, so "
            "OpenSSL's own are used there",
        )


def _check_suite(suite: str) -> None:
    """Raises ValueError, for people, for what is no suite of TLS 1.2, or is not safe.

    OpenSSL passes over names that it does not know where there is one that it knows.
    """
    if suite.startswith("TLS_"):
        raise ValueError(
            f"{suite}: suites have OpenSSL's names here, as ECDHE-ECDSA-AES128-GCM-SHA256 "
            "(`openssl ciphers -v -tls1_2` lists them); those of TLS 1.3 cannot be chosen by "
            "Python before 3.15"
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.set_ciphers(suite)
    except ssl.SSLError:
        raise ValueError(
            f"{suite} is no cipher suite that this OpenSSL has (`openssl ciphers -v -tls1_2` lists "
            "them)"
        ) from None
    chosen = [each for each in context.get_ciphers() if each["name"] == suite]
    if not chosen:
        raise ValueError(f"{suite} is no name of one cipher suite; list each by its name")
    if any(unsafe in chosen[0]["description"] for unsafe in _UNSAFE):
        raise ValueError(f"{suite} has no certificate or no encryption, and is not offered")
