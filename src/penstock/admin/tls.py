"""TLS of the admin address: one certificate, read again when its files change."""

import ssl
from pathlib import Path
from typing import Final

_SPOKEN: Final = ["http/1.1"]


class AdminCertificate:
    """The context that connections are taken with."""

    def __init__(self, certificate: str, key: str) -> None:
        """Raises OSError (of which ssl.SSLError is one) where they cannot be loaded."""
        self._files = (certificate, key)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.set_alpn_protocols(_SPOKEN)
        self._seen = self._stamps()
        self.context.load_cert_chain(certificate, key)

    def look(self) -> None:
        """New connections get what the files hold now; a pair half written is tried again."""
        try:
            stamps = self._stamps()
            if stamps != self._seen:
                # A context of its own first: one that took a certificate without its key serves
                # nobody.
                ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*self._files)
                self.context.load_cert_chain(*self._files)
                self._seen = stamps
        except OSError:
            return

    def _stamps(self) -> list[tuple[int, int]]:
        found = [Path(each).stat() for each in self._files]
        return [(each.st_mtime_ns, each.st_size) for each in found]
