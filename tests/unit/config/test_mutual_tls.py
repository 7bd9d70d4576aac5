"""What a listener asks of its clients' TLS is tried before it runs, and fits together."""

from datetime import timedelta
from pathlib import Path

import pytest
import trustme

from penstock.config.compile.snapshot import Configured
from penstock.core.snapshot import ListenerTls
from tests.scenario.certificates import write_revocations
from tests.unit.config.documents import errors_of, load

_LISTENER = (
    "endpoints: a:1\nlisteners:\n  main:\n    address: 127.0.0.1:0\n    tls:\n"
    "      certificate: site.pem\n      key: site.key\n"
)
_AT = "listeners.main.tls"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a certificate, its authority and what is neither."""
    made = tmp_path_factory.mktemp("files")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(made / "ca.pem")
    write_revocations(authority, made / "crl.pem")
    issued = authority.issue_cert("site.example")
    issued.cert_chain_pems[0].write_to_path(made / "site.pem")
    issued.private_key_pem.write_to_path(made / "site.key")
    (made / "text").write_text("nothing in PEM form")
    return made


def configured(directory: Path, *lines: str) -> Configured:
    return load(_LISTENER + "".join(f"      {line}\n" for line in lines), directory)


def tls_of(directory: Path, *lines: str) -> ListenerTls:
    return configured(directory, *lines).snapshot.listeners[0].tls


def wrong_in(directory: Path, *lines: str) -> list[str]:
    """What is wrong from the eighth line on, which the given ones begin with."""
    return errors_of(_LISTENER + "".join(f"      {line}\n" for line in lines), directory)


def test_clients_are_asked_for_nothing_unless_told(directory: Path) -> None:
    assert tls_of(directory) == ListenerTls()


def test_files_are_found_beside_the_document(directory: Path) -> None:
    tls = tls_of(directory, "client_ca_file: ca.pem", "client_certificate: request")
    assert tls.client_ca_file == str(directory / "ca.pem")
    assert (tls.client_certificate, tls.client_certificate_header) == ("request", "Client-Cert")
    off = tls_of(directory, "client_ca_file: ca.pem", "client_certificate_header: off")
    assert off.client_certificate_header == ""


@pytest.mark.parametrize(
    "line",
    [
        "client_certificate: require",
        "client_certificate_header: X-Cert",
        "client_certificate_chain: true",
        "crl_file: crl.pem",
    ],
)
def test_what_means_nothing_without_authorities_is_refused(directory: Path, line: str) -> None:
    (told,) = wrong_in(directory, line)
    assert told.startswith("8:")
    assert f"{_AT}.{line.partition(':')[0]}: has no effect" in told
    assert "client_ca_file" in told


def test_a_chain_is_told_beside_its_certificate_alone(directory: Path) -> None:
    asked = ("client_ca_file: ca.pem", "client_certificate_chain: true")
    assert tls_of(directory, *asked).client_certificate_chain
    (told,) = wrong_in(directory, *asked, "client_certificate_header: off")
    assert told.startswith("9:")
    assert "goes with the certificate itself" in told


@pytest.mark.parametrize("name", ["Cookie", "Host", "X-Forwarded-For", "Connection"])
def test_certificates_are_not_told_in_headers_that_tell_something_else(
    directory: Path, name: str
) -> None:
    (told,) = wrong_in(directory, "client_ca_file: ca.pem", f"client_certificate_header: {name}")
    assert told.startswith("9:")
    assert name in told


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("client_ca_file: text", "text holds no certificates in PEM form"),
        ("client_ca_file: missing", "missing cannot be read: No such file or directory"),
        ("crl_file: ca.pem", "ca.pem holds no CRL, but other things in PEM form"),
        ("crl_file: text", "text holds no CRL in PEM form"),
        ("crl_file: missing", "missing cannot be read: No such file or directory"),
    ],
)
def test_a_bad_file_is_named_with_its_line(directory: Path, line: str, why: str) -> None:
    key = line.partition(":")[0]
    before = [] if key == "client_ca_file" else ["client_ca_file: ca.pem"]
    (told,) = wrong_in(directory, *before, line)
    assert told.startswith(f"{8 + len(before)}:")
    assert told.endswith(f"{_AT}.{key}: {directory}/{why}")


def test_a_list_that_ends_soon_is_told_of_when_it_is_read(directory: Path) -> None:
    authority = trustme.CA()
    for name, days in (("soon", 2), ("late", 30), ("past", -1)):
        write_revocations(authority, directory / f"{name}.pem", ends_in=timedelta(days=days))
    warnings = {
        name: configured(directory, "client_ca_file: ca.pem", f"crl_file: {name}.pem").warnings
        for name in ("soon", "late", "past")
    }
    assert warnings["late"] == ()
    assert "soon.pem ends on" in warnings["soon"][0]
    assert "past.pem ended on" in warnings["past"][0]
    assert "every client certificate is refused" in warnings["past"][0]


def test_versions_are_written_with_quotes_or_without(directory: Path) -> None:
    assert tls_of(directory, "minimum_version: 1.3").minimum_version == "1.3"
    assert tls_of(directory, 'minimum_version: "1.2"').minimum_version == "1.2"
    (told,) = wrong_in(directory, "minimum_version: 1.1")
    assert told.startswith("8:")


def test_suites_hold_for_tls_1_2_alone_and_that_is_said(directory: Path) -> None:
    suites = "cipher_suites: [ECDHE-ECDSA-AES256-GCM-SHA384, ECDHE-ECDSA-AES128-GCM-SHA256]"
    made = configured(directory, suites)
    assert made.snapshot.listeners[0].tls.cipher_suites[1] == "ECDHE-ECDSA-AES128-GCM-SHA256"
    (told,) = made.warnings
    assert "Python before 3.15 cannot choose the suites of TLS 1.3" in told
    (told,) = wrong_in(directory, suites, "minimum_version: 1.3")
    assert "Python before 3.15 cannot choose those of TLS 1.3" in told


@pytest.mark.parametrize(
    ("suite", "why"),
    [
        ("TLS_AES_128_GCM_SHA256", "cannot be chosen by Python before 3.15"),
        ("ECDHE-ECDSA-AES999", "no cipher suite that this OpenSSL has"),
        ("HIGH", "no name of one cipher suite"),
        ("AECDH-AES256-SHA@SECLEVEL=0", "no name of one cipher suite"),
        ("ADH-AES256-GCM-SHA384", "has no certificate or no encryption"),
    ],
)
def test_only_suites_that_are_there_and_safe_can_be_chosen(
    directory: Path, suite: str, why: str
) -> None:
    (told,) = wrong_in(directory, f'cipher_suites: ["{suite}"]')
    assert told.startswith("8:")
    assert suite in told
    assert why in told


def test_authorities_without_a_list_are_told_of(directory: Path) -> None:
    both = (directory / "ca.pem").read_bytes() + trustme.CA().cert_pem.bytes()
    (directory / "two.pem").write_bytes(both)
    (told,) = configured(directory, "client_ca_file: two.pem", "crl_file: crl.pem").warnings
    assert "holds 1 of the lists of 2 authorities" in told
    assert configured(directory, "client_ca_file: ca.pem", "crl_file: crl.pem").warnings == ()
