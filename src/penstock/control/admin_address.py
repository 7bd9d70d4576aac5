"""Where the admin server listens: a port, a socket file, or what was handed over."""

import socket
from pathlib import Path
from typing import Final

from penstock.admin.server import AdminServer
from penstock.admin.tls import AdminCertificate
from penstock.config.compile.configured import AdminSettings
from penstock.control.events import Events
from penstock.control.upgrade.predecessor import Predecessor
from penstock.control.workers.socket_files import SocketFile
from penstock.control.workers.workers import StartError
from penstock.core.snapshot.address import shown_address, shown_url, socket_path

_OWNER_ALONE: Final = 0o600
_BACKLOG: Final = 128


class AdminAddress:
    """Of one admin server, from ``open`` to ``close``."""

    def __init__(self, server: AdminServer, settings: AdminSettings, events: Events) -> None:
        self._server = server
        self._settings = settings
        self._events = events
        self._file: SocketFile | None = None
        self._certificate: AdminCertificate | None = None

    @property
    def fd(self) -> int:
        """Of the listening socket; -1 while there is none."""
        return self._server.fd

    def look(self) -> None:
        """Serve what the certificate's files hold now."""
        if self._certificate is not None:
            self._certificate.look()

    async def open(self, given: socket.socket | None, predecessor: Predecessor | None) -> None:
        """Listen, where an address is configured. ``given``: a socket of the service manager.

        Raises StartError.
        """
        settings = self._settings
        if settings.host is None:
            return
        handed = given
        if predecessor is not None and predecessor.has_admin(settings.host, settings.port):
            handed = predecessor.admin_socket
        shown = shown_address(settings.host, settings.port)
        try:
            if settings.certificate:
                self._certificate = AdminCertificate(settings.certificate, settings.key)
            if path := socket_path(settings.host):
                handed = self._open_file(path, handed, foreign=handed is given)
            address = await self._server.start(
                settings.host, settings.port, handed, self._certificate
            )
        except OSError as error:
            raise StartError(
                f"the admin address {shown} cannot be listened on: {error.strerror}; "
                "`--admin` or `admin:` chooses another, or `off`"
            ) from error
        url = shown_url("https" if settings.certificate else "http", *address)
        self._events.info("admin", f"admin address: {url}", url=url)

    async def close(self, *, left: bool) -> None:
        """Listen no more. ``left``: a successor listens there, and keeps the file."""
        await self._server.stop()
        if self._file is not None:
            self._file.owned = self._file.owned and not left
            self._file.close()
            self._file = None

    def _open_file(self, path: str, handed: socket.socket | None, foreign: bool) -> socket.socket:
        if handed is None:
            self._file = SocketFile(path, _OWNER_ALONE, _BACKLOG, replace=False)
            return self._file.sock
        found = Path(path).stat()
        self._file = SocketFile.handed(path, handed, (found.st_dev, found.st_ino))
        self._file.owned = True
        self._file.foreign = foreign
        return handed
