"""What a listener asks of its clients' TLS is tried before it runs, and fits together."""

from pathlib import Path

import pytest
import trustme

from penstock.core.snapshot import ListenerTls
from tests.unit.config.documents import errors_of, load

_LISTENER = (
    "endpoints: a:1\nlisteners:\n  main:\n    address: 127.0.0.1:0\n    tls:\n"
    "      certificates: {certificate: site.pem, key: site.key}\n"
)
_AT = "listeners.main.tls"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a certificate, its authority and what is neither."""
    made = tmp_path_factory.mktemp("files")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(made / "ca.pem")
    issued = authority.issue_cert("site.example")
    issued.cert_chain_pems[0].write_to_path(made / "site.pem")
    issued.private_key_pem.write_to_path(made / "site.key")
    (made / "text").write_text("nothing in PEM form")
    return made


def tls_of(directory: Path, *lines: str) -> ListenerTls:
    text = _LISTENER + "".join(f"      {line}\n" for line in lines)
    return load(text, directory).snapshot.listeners[0].tls


def wrong_in(directory: Path, *lines: str) -> list[str]:
    """What is wrong from the seventh line on, which the given ones begin with."""
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
    ["client_certificate: require", "client_certificate_header: X-Cert"],
)
def test_what_means_nothing_without_authorities_is_refused(directory: Path, line: str) -> None:
    (told,) = wrong_in(directory, line)
    assert told.startswith("7:")
    assert f"{_AT}.{line.partition(':')[0]}: has no effect" in told
    assert "client_ca_file" in told


@pytest.mark.parametrize("name", ["Cookie", "Host", "X-Forwarded-For", "Connection"])
def test_certificates_are_not_told_in_headers_that_tell_something_else(
    directory: Path, name: str
) -> None:
    (told,) = wrong_in(directory, "client_ca_file: ca.pem", f"client_certificate_header: {name}")
    assert told.startswith("8:")
    assert name in told


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("client_ca_file: text", "text holds no certificates in PEM form"),
        ("client_ca_file: missing", "missing cannot be read: No such file or directory"),
    ],
)
def test_a_bad_file_is_named_with_its_line(directory: Path, line: str, why: str) -> None:
    (told,) = wrong_in(directory, line)
    assert told.startswith("7:")
    assert told.endswith(f"{_AT}.client_ca_file: {directory}/{why}")
