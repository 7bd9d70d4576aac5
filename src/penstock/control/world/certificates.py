"""Certificate, key and CA files: noticed when they change, tried before anybody uses them."""

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from penstock.config.compile.certificates import (
    check_authorities,
    check_certificate,
)
from penstock.config.compile.revocations import check_revocations
from penstock.core.snapshot import Listener, Pool, Snapshot

Stamp = tuple[int, int, int]  # modification time in ns, size, inode; zeroes where there is no file


class CertificateFiles:
    """What the files that the running snapshot uses looked like when it was published."""

    def __init__(self) -> None:
        self._running: dict[str, Stamp] = {}
        self._marked: dict[str, Stamp] = {}
        self._generations: dict[str, int] = {}  # by listener
        self._of_endpoints: dict[tuple[str, ...], int] = {}  # generations by a pool's files

    def mark(self, spec: Snapshot) -> Snapshot:
        """``spec`` with a higher ``tls_generation`` where files of a listener or pool changed."""
        self._marked = {path: _stamp(path) for path in _files(spec)}
        return msgspec.structs.replace(
            spec,
            listeners=tuple(self._mark_listener(each) for each in spec.listeners),
            pools=tuple(self._mark_pool(each) for each in spec.pools),
        )

    def configure(self, snapshot: Snapshot) -> None:
        """What was marked last runs."""
        self._running = self._marked
        self._generations = {each.name: each.tls_generation for each in snapshot.listeners}
        self._of_endpoints = {each.tls.files: each.tls_generation for each in snapshot.pools}

    def changed(self) -> frozenset[tuple[str, Stamp]]:
        """The files that differ from when they were published, as they are."""
        found = ((path, _stamp(path)) for path in self._running)
        return frozenset((path, stamp) for path, stamp in found if stamp != self._running[path])

    def _mark_pool(self, pool: Pool) -> Pool:
        files = pool.tls.files
        if not files:
            return pool
        generation = self._of_endpoints.get(files, 0)
        known = [path for path in files if path in self._running]
        if any(self._marked[path] != self._running[path] for path in known):
            generation += 1
        return msgspec.structs.replace(pool, tls_generation=generation)

    def _mark_listener(self, listener: Listener) -> Listener:
        generation = self._generations.get(listener.name, 0)
        paths = list(_certificate_files(listener))
        if any(self._marked[path] != self._running.get(path) for path in paths):
            generation += 1
        return msgspec.structs.replace(listener, tls_generation=generation)


def try_files(snapshot: Snapshot) -> None:
    """Load every certificate, key and CA file. Raises ValueError, for people, naming the file."""
    for listener in snapshot.listeners:
        for certificate in listener.certificates:
            check_certificate(Path(certificate.certificate), Path(certificate.key))
        if listener.tls.client_ca_file:
            check_authorities(Path(listener.tls.client_ca_file))
        if listener.tls.crl_file:
            check_revocations(Path(listener.tls.crl_file))
    for pool in snapshot.pools:
        tls = pool.tls
        if tls.ca_file:
            check_authorities(Path(tls.ca_file))
        if tls.certificate:
            check_certificate(Path(tls.certificate), Path(tls.key))


def _files(spec: Snapshot) -> Iterator[str]:
    for listener in spec.listeners:
        yield from _certificate_files(listener)
    for pool in spec.pools:
        yield from pool.tls.files


def _certificate_files(listener: Listener) -> Iterator[str]:
    for certificate in listener.certificates:
        yield certificate.certificate
        yield certificate.key
    for path in (listener.tls.client_ca_file, listener.tls.crl_file):
        if path:
            yield path


def _stamp(path: str) -> Stamp:
    try:
        found = os.stat(path)
    except OSError:
        return 0, 0, 0
    return found.st_mtime_ns, found.st_size, found.st_ino
