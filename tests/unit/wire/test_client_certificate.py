"""Certificates of clients, as endpoints and logs are told of them."""

import base64
from hashlib import sha256

from penstock.wire.client_certificate import ClientCertificate, subject_text, taken_out


def test_the_header_is_a_byte_sequence_of_the_whole_certificate() -> None:
    """RFC 9440, 2.2: without line breaks, with padding."""
    der = bytes(range(256)) * 4
    value = ClientCertificate(der, ()).header_value
    assert value == b":" + base64.b64encode(der) + b":"
    assert b"\n" not in value


def test_the_fingerprint_is_of_the_whole_certificate() -> None:
    assert ClientCertificate(b"der", ()).fingerprint == sha256(b"der").hexdigest()


def test_subjects_are_written_as_in_rfc_4514() -> None:
    subject = (
        (("countryName", "DE"),),
        (("organizationName", "Pumps, Inc."),),
        (("commonName", " #1"), ("userId", "7")),
        (("emailAddress", "a@b.example"),),
    )
    assert subject_text(subject) == "emailAddress=a@b.example,CN=\\ #1+UID=7,O=Pumps\\, Inc.,C=DE"
    assert ClientCertificate(b"", subject).common_name == " #1"


def test_names_are_taken_out_however_servers_spell_them() -> None:
    names = taken_out(["X-Client_DER"])
    assert names == {b"client-cert", b"client-cert-chain", b"x-client-der"}
