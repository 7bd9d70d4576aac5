"""Certificates of a test's own authority, as the files that a configuration names."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from penstock.core.snapshot import Certificate


class Authority:
    """Issues certificates into a directory; ``client()`` is a context that trusts them."""

    def __init__(self, directory: Path) -> None:
        self._authority = trustme.CA()
        self._directory = directory
        self._issued = 0
        self.file = str(directory / "ca.pem")
        self._authority.cert_pem.write_to_path(self.file)

    def issue(self, *names: str, serves: bool = True) -> Certificate:
        """A certificate for those names; it is the default one unless it ``serves`` them only."""
        self._issued += 1
        chain = self._directory / f"{self._issued}.crt"
        key = self._directory / f"{self._issued}.key"
        self.write(chain, key, *names)
        return Certificate(str(chain), str(key), names if serves else ())

    def write(self, chain: Path | str, key: Path | str, *names: str) -> None:
        """Write another certificate for those names into these files."""
        issued = self._authority.issue_cert(*names)
        issued.private_key_pem.write_to_path(str(key))
        chain_pem = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        Path(chain).write_bytes(chain_pem)

    def client_with(
        self, name: str, version: ssl.TLSVersion | None = None, **details: Any
    ) -> tuple[ssl.SSLContext, x509.Certificate]:
        """A client's context with a certificate for that common name, and the certificate."""
        issued = self._authority.issue_cert("client.example", common_name=name, **details)
        context = self.client()
        issued.configure_cert(context)
        if version is not None:
            context.minimum_version = context.maximum_version = version
        pem = issued.cert_chain_pems[0].bytes()
        return context, x509.load_pem_x509_certificate(pem)

    def revoke(
        self, *revoked: x509.Certificate, ends_in: timedelta = timedelta(days=30), name: str = "crl"
    ) -> str:
        """Write the list of these, and say where it is."""
        path = self._directory / f"{name}.pem"
        write_revocations(self._authority, path, *revoked, ends_in=ends_in)
        return str(path)

    def server(self, *names: str) -> ssl.SSLContext:
        """An endpoint's context."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert(*names).configure_cert(context)
        return context

    def client(self) -> ssl.SSLContext:
        """A client's context, to which an end without close_notify is an error."""
        context = ssl.create_default_context(cafile=self.file)
        context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
        return context


def write_revocations(
    authority: trustme.CA,
    path: Path,
    *revoked: x509.Certificate,
    ends_in: timedelta = timedelta(days=30),
) -> None:
    """Write the list of these into a file."""
    own = x509.load_pem_x509_certificate(authority.cert_pem.bytes())
    key = load_pem_private_key(authority.private_key_pem.bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    now = datetime.now(UTC)
    builder = x509.CertificateRevocationListBuilder().issuer_name(own.subject)
    builder = builder.last_update(now - timedelta(days=60)).next_update(now + ends_in)
    for each in revoked:
        entry = x509.RevokedCertificateBuilder(each.serial_number, now - timedelta(days=1))
        builder = builder.add_revoked_certificate(entry.build())
    path.write_bytes(builder.sign(key, SHA256()).public_bytes(Encoding.PEM))


def names_in(encoded: bytes) -> list[str]:
    """The names that a certificate, as DER, is for."""
    names = x509.load_der_x509_certificate(encoded).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    return names.value.get_values_for_type(x509.DNSName)
