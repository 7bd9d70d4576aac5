"""Whom newer authorities and revocation lists still let in; certificates are cryptography's."""

from datetime import timedelta
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from penstock.wire.client_trust import ClientTrust, Issued
from penstock.wire.crl import lists_in
from tests.scenario.certificates import write_revocations


class Issuer:
    """An authority; ``under``: of another one."""

    def __init__(self, directory: Path, under: "Issuer | None" = None) -> None:
        self.made: trustme.CA = trustme.CA() if under is None else under.made.create_child_ca()
        self.pem = self.made.cert_pem.bytes()
        self.certificate = x509.load_pem_x509_certificate(self.pem)
        self.chain: list[bytes] = [
            der(self.certificate),
            *(under.chain if under is not None else []),
        ]
        self._directory = directory

    def issue(self) -> x509.Certificate:
        issued = self.made.issue_cert("robot.example")
        return x509.load_pem_x509_certificate(issued.cert_chain_pems[0].bytes())

    def revoking(self, *revoked: x509.Certificate) -> bytes:
        path = self._directory / "list.pem"
        write_revocations(self.made, path, *revoked, ends_in=timedelta(days=1))
        return path.read_bytes()


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


@pytest.fixture
def root(tmp_path: Path) -> Issuer:
    return Issuer(tmp_path)


def test_serial_issuer_and_subject_are_read_as_cryptography_reads_them(root: Issuer) -> None:
    certificate = root.issue()
    read = Issued(der(certificate))
    assert read.issuer == certificate.issuer.public_bytes()
    assert read.subject == certificate.subject.public_bytes()
    assert int.from_bytes(read.serial[2:], "big") == certificate.serial_number


def test_who_is_named_by_a_list_of_its_issuer_is_not_let_in(root: Issuer, tmp_path: Path) -> None:
    revoked, good = root.issue(), root.issue()
    others = [root.issue() for _ in range(50)]
    trust = ClientTrust(root.pem, root.revoking(*others[:25], revoked, *others[25:]))
    assert not trust.holds([der(revoked), *root.chain])
    assert not trust.holds([der(revoked)])
    assert trust.holds([der(good), *root.chain])
    assert trust.holds([der(good)])
    other = Issuer(tmp_path)
    of_other = ClientTrust(root.pem + other.pem, other.revoking(revoked))
    assert of_other.holds([der(revoked), *root.chain])  # the same number, of another issuer


def test_who_has_a_revoked_authority_on_its_way_is_not_let_in(root: Issuer, tmp_path: Path) -> None:
    between = Issuer(tmp_path, under=root)
    chain = [der(between.issue()), *between.chain]
    assert ClientTrust(root.pem, root.revoking()).holds(chain)
    assert not ClientTrust(root.pem, root.revoking(between.certificate)).holds(chain)
    # Of a resumed session nothing tells who vouches for its issuer: it begins anew.
    assert not ClientTrust(root.pem, b"").holds(chain[:1])


def test_who_has_no_authority_of_the_file_is_not_let_in(root: Issuer, tmp_path: Path) -> None:
    other = Issuer(tmp_path)
    chain = [der(root.issue()), *root.chain]
    assert ClientTrust(other.pem + root.pem, b"").holds(chain)
    assert not ClientTrust(other.pem, b"").holds(chain)
    assert not ClientTrust(other.pem, b"").holds(chain[:1])


def test_half_of_something_is_an_error_or_names_nobody(root: Issuer) -> None:
    whole = root.revoking(root.issue())
    for size in range(0, len(whole), 7):
        cut = whole[:size] + b"\n-----END X509 CRL-----\n"
        try:
            lists_in(cut)
        except ValueError:
            continue
    certificate = der(root.issue())
    for size in range(len(certificate)):
        try:
            Issued(certificate[:size])
        except ValueError:
            continue
