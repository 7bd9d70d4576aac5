"""Certificate files: a change raises the listener's generation, and is tried before it is used."""

from pathlib import Path

import pytest
import trustme
from msgspec.structs import replace

from penstock.control.world.certificates import CertificateFiles, try_files
from penstock.core.snapshot import Certificate, EndpointTls, Listener, ListenerTls, Snapshot
from tests.unit.control.worlds import listener, world


class Files:
    """A certificate and its key, replaced at will."""

    def __init__(self, directory: Path) -> None:
        self.certificate = directory / "tls.crt"
        self.key = directory / "tls.key"
        self._authority = trustme.CA()
        self.issue()

    def issue(self) -> None:
        """Other files in their place, by rename, as good tools do it."""
        issued = self._authority.issue_cert("service.example")
        for file, content in (
            (self.certificate, issued.cert_chain_pems[0]),
            (self.key, issued.private_key_pem),
        ):
            fresh = file.with_suffix(".new")
            content.write_to_path(str(fresh))
            fresh.rename(file)

    def listener(self) -> Listener:
        pair = Certificate(str(self.certificate), str(self.key))
        return replace(listener("secure"), certificates=(pair,))

    def world(self) -> Snapshot:
        return world(listeners=[listener("plain"), self.listener()])


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def publish(watched: CertificateFiles, spec: Snapshot) -> dict[str, int]:
    """Mark and follow, as the publisher does; the generation of each listener."""
    marked = watched.mark(spec)
    watched.configure(marked)
    return {each.name: each.tls_generation for each in marked.listeners}


def test_the_generation_rises_when_and_only_when_files_change(files: Files) -> None:
    watched = CertificateFiles()
    first = publish(watched, files.world())
    assert publish(watched, files.world()) == first
    assert not watched.changed()
    files.issue()
    assert {path for path, _ in watched.changed()} == {str(files.certificate), str(files.key)}
    second = publish(watched, files.world())
    assert second["secure"] == first["secure"] + 1
    assert second["plain"] == first["plain"] == 0
    assert not watched.changed()


def test_pools_are_told_when_the_authorities_of_their_endpoints_change(files: Files) -> None:
    tls = EndpointTls(ca_file=str(files.certificate))
    pools = tuple(replace(each, tls=tls) for each in world({"a": ["x"], "b": ["y"]}).pools)
    spec = replace(world(), pools=pools)
    watched = CertificateFiles()

    def published() -> list[int]:
        marked = watched.mark(spec)
        watched.configure(marked)
        return [pool.tls_generation for pool in marked.pools]

    assert published() == published() == [0, 0]
    files.issue()
    assert published() == published() == [1, 1]


def test_what_was_not_published_stays_a_change(files: Files) -> None:
    watched = CertificateFiles()
    publish(watched, files.world())
    files.issue()
    watched.mark(files.world())  # but a worker refused it
    assert watched.changed()


def test_a_file_that_vanished_is_a_change(files: Files) -> None:
    watched = CertificateFiles()
    publish(watched, files.world())
    files.key.unlink()
    assert [path for path, _ in watched.changed()] == [str(files.key)]


def test_usable_files_pass(files: Files) -> None:
    try_files(files.world())


def test_a_key_that_does_not_fit_is_named(files: Files) -> None:
    trustme.CA().issue_cert("x.example").private_key_pem.write_to_path(str(files.key))
    with pytest.raises(ValueError, match=r"the key .*tls\.key does not belong to .*tls\.crt$"):
        try_files(files.world())


@pytest.mark.parametrize("kind", ["certificate", "key"])
def test_a_missing_file_is_named(files: Files, kind: str) -> None:
    missing: Path = getattr(files, kind)
    missing.unlink()
    with pytest.raises(ValueError, match=rf"^{missing} cannot be read: No such file"):
        try_files(files.world())


def test_authorities_of_clients_are_watched_and_tried_as_certificates_are(
    files: Files, tmp_path: Path
) -> None:
    authorities = tmp_path / "clients.pem"
    authorities.write_bytes(files.certificate.read_bytes())
    tls = ListenerTls(client_ca_file=str(authorities))
    spec = world(listeners=[replace(files.listener(), tls=tls)])
    watched = CertificateFiles()
    first = publish(watched, spec)
    try_files(spec)
    authorities.write_text("half a file")
    assert {path for path, _ in watched.changed()} == {str(authorities)}
    assert publish(watched, spec)["secure"] == first["secure"] + 1
    with pytest.raises(ValueError, match=r"clients\.pem holds no certificates"):
        try_files(spec)


def test_a_certificate_for_endpoints_is_watched_and_tried_with_its_key(files: Files) -> None:
    tls = EndpointTls(certificate=str(files.certificate), key=str(files.key))
    pools = tuple(replace(each, tls=tls) for each in world({"a": ["x"]}).pools)
    spec = replace(world(), pools=pools)
    watched = CertificateFiles()
    watched.configure(watched.mark(spec))
    try_files(spec)
    files.key.write_text("half a key")
    assert {path for path, _ in watched.changed()} == {str(files.key)}
    assert [pool.tls_generation for pool in watched.mark(spec).pools] == [1] * len(pools)
    with pytest.raises(ValueError, match="are not a certificate and its key"):
        try_files(spec)
