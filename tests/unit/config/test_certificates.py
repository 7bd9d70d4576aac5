"""Certificates are checked before they are served, and say which names they are for."""

import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme

from penstock.config.compile.certificates import check_certificate, issued_names
from tests.unit.config.documents import errors_of, load

_LISTENER = "endpoints: a:1\nlisteners:\n  main:\n    address: 127.0.0.1:0\n    tls:\n"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def write(directory: Path, name: str, issued: trustme.LeafCert) -> tuple[Path, Path]:
    """A certificate and its key as two files."""
    certificate, key = directory / f"{name}.pem", directory / f"{name}.key"
    for pem in issued.cert_chain_pems:
        pem.write_to_path(certificate, append=True)
    issued.private_key_pem.write_to_path(key)
    return certificate, key


def test_names_are_read_out_of_the_certificate(authority: trustme.CA, tmp_path: Path) -> None:
    pair = write(tmp_path, "a", authority.issue_cert("A.example.com", "*.b.example", "10.0.0.1"))
    assert issued_names(pair[0], check_certificate(*pair)) == ("a.example.com", "*.b.example")


def test_an_expired_certificate_still_says_its_names(authority: trustme.CA, tmp_path: Path) -> None:
    expired = authority.issue_cert("old.example", not_after=datetime(2021, 1, 1, tzinfo=UTC))
    pair = write(tmp_path, "old", expired)
    assert issued_names(pair[0], check_certificate(*pair)) == ("old.example",)


def test_several_certificates_serve_the_names_they_were_issued_for(
    authority: trustme.CA, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        write(tmp_path, name, authority.issue_cert(f"{name}.example", f"*.{name}.example"))
    text = _LISTENER + (
        "      certificates:\n"
        "        - {certificate: a.pem, key: a.key}\n"
        "        - {certificate: b.pem, key: b.key, server_names: [other.example]}\n"
    )
    certificates = load(text, tmp_path).snapshot.listeners[0].certificates
    assert [each.server_names for each in certificates] == [
        ("a.example", "*.a.example"),
        ("other.example",),
    ]


def test_a_single_certificate_serves_every_name(authority: trustme.CA, tmp_path: Path) -> None:
    write(tmp_path, "a", authority.issue_cert("a.example"))
    text = _LISTENER + "      {certificate: a.pem, key: a.key}\n"
    (certificate,) = load(text, tmp_path).snapshot.listeners[0].certificates
    assert certificate.server_names == ()


def test_two_certificates_for_one_name_are_refused(authority: trustme.CA, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path, name, authority.issue_cert("same.example"))
    text = _LISTENER + (
        "      certificates:\n"
        "        - {certificate: a.pem, key: a.key}\n"
        "        - {certificate: b.pem, key: b.key}\n"
    )
    assert errors_of(text, tmp_path) == [
        "8:11: listeners.main.tls.certificates[1]: another certificate serves same.example already"
    ]


def test_a_missing_file_and_a_foreign_key_are_told_apart(
    authority: trustme.CA, tmp_path: Path
) -> None:
    write(tmp_path, "a", authority.issue_cert("a.example"))
    write(tmp_path, "b", authority.issue_cert("b.example"))
    (line,) = errors_of(_LISTENER + "      {certificate: a.pem, key: none}\n", tmp_path)
    assert "none cannot be read: No such file or directory" in line
    (line,) = errors_of(_LISTENER + "      {certificate: a.pem, key: b.key}\n", tmp_path)
    assert f"the key {tmp_path / 'b.key'} does not belong to {tmp_path / 'a.pem'}" in line
    (tmp_path / "text").write_text("no certificate")
    (line,) = errors_of(_LISTENER + "      {certificate: text, key: text}\n", tmp_path)
    assert "are not a certificate and its key in PEM form" in line


def test_an_encrypted_key_is_refused_and_no_password_asked_for(
    authority: trustme.CA, tmp_path: Path
) -> None:
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        PrivateFormat,
        load_pem_private_key,
    )

    certificate, key = write(tmp_path, "a", authority.issue_cert("a.example"))
    plain = load_pem_private_key(key.read_bytes(), None)
    key.write_bytes(
        plain.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    )
    with pytest.raises(ValueError, match="the key is encrypted"):
        check_certificate(certificate, key)


def test_a_certificate_without_names_needs_them_written(
    authority: trustme.CA, tmp_path: Path
) -> None:
    pair = write(tmp_path, "a", authority.issue_cert(common_name="nobody"))
    assert issued_names(pair[0], check_certificate(*pair)) == ()


def test_the_authority_of_endpoints_must_hold_certificates(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    text = "pools: {main: {endpoints: https://a, tls: {ca_file: ca.pem}}}"
    (line,) = errors_of(text, tmp_path)
    assert "ca.pem holds no certificates in PEM form" in line


def test_the_context_that_was_checked_can_serve(authority: trustme.CA, tmp_path: Path) -> None:
    context = check_certificate(*write(tmp_path, "a", authority.issue_cert("a.example")))
    assert isinstance(context, ssl.SSLContext)


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ("{certificate: a.pem}", "a certificate and its key go together: `key` is not given"),
        ("{key: a.key}", "a certificate and its key go together: `certificate` is not given"),
        ("{certificate: a.pem, key: b.key}", "b.key does not belong to"),
    ],
)
def test_the_certificate_for_endpoints_is_tried_with_its_key(
    authority: trustme.CA, tmp_path: Path, keys: str, why: str
) -> None:
    for name in ("a", "b"):
        write(tmp_path, name, authority.issue_cert(f"{name}.example"))
    text = f"pools:\n  main:\n    endpoints: https://a:1\n    tls: {keys}\n"
    (told,) = errors_of(text, tmp_path)
    assert told.startswith("4:")
    assert "pools.main.tls" in told
    assert why in told
