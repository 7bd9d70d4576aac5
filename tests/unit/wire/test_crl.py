"""Until when revocation lists hold, with cryptography as the oracle."""

import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography import x509

from penstock.wire.crl import end_of
from tests.scenario.certificates import write_revocations


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.mark.parametrize("days", [1, 400, 365 * 40])  # the last one after 2049, in another form
def test_the_end_is_next_update(authority: trustme.CA, tmp_path: Path, days: int) -> None:
    file = tmp_path / "crl.pem"
    revoked = x509.load_pem_x509_certificate(authority.issue_cert("a").cert_chain_pems[0].bytes())
    write_revocations(authority, file, *[revoked] * 100, ends_in=timedelta(days=days))
    told = x509.load_pem_x509_crl(file.read_bytes()).next_update_utc
    assert told is not None
    assert end_of(file.read_bytes()) == told.timestamp()


def test_of_several_lists_the_first_to_end_counts(authority: trustme.CA, tmp_path: Path) -> None:
    ends = []
    text = b""
    for days in (30, 3, 300):
        file = tmp_path / f"{days}.pem"
        write_revocations(authority, file, ends_in=timedelta(days=days))
        text += b"of whom it is\n" + file.read_bytes()
        ends.append(end_of(file.read_bytes()))
    assert end_of(text) == ends[1]
    assert abs(ends[1] - (datetime.now(UTC) + timedelta(days=3)).timestamp()) < 60


def test_where_there_is_no_list_there_is_no_end(authority: trustme.CA) -> None:
    assert end_of(b"") == 0.0
    assert end_of(authority.cert_pem.bytes()) == 0.0


def test_a_list_cut_anywhere_is_an_error_or_has_no_end(
    authority: trustme.CA, tmp_path: Path
) -> None:
    """Whatever stands in a file, nothing but ValueError comes out."""
    file = tmp_path / "crl.pem"
    write_revocations(authority, file)
    der = x509.load_pem_x509_crl(file.read_bytes()).tbs_certlist_bytes
    for size in range(len(der)):
        block = base64.encodebytes(der[:size])
        pem = b"-----BEGIN X509 CRL-----\n" + block + b"-----END X509 CRL-----\n"
        try:
            end_of(pem)
        except ValueError:
            continue
