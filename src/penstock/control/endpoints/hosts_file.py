"""Names that /etc/hosts knows (hosts(5)); they go before what DNS says."""

import ipaddress
from pathlib import Path
from typing import Final

_PATH: Final = Path("/etc/hosts")
_MOST_BYTES: Final = 4 * 1024 * 1024


class HostsFile:
    """Read again when it changes."""

    def __init__(self, path: Path = _PATH) -> None:
        self._path = path
        self._read_at: object = None
        self._addresses: dict[str, tuple[str, ...]] = {}

    def addresses(self, name: str) -> tuple[str, ...]:
        """Of that name, in the order of the file; none where it is not there."""
        self._refresh()
        return self._addresses.get(name.lower().rstrip("."), ())

    def _refresh(self) -> None:
        try:
            found = self._path.stat()
            state = (found.st_ino, found.st_mtime_ns, found.st_size)
            if state == self._read_at:
                return
            with self._path.open("rb") as file:
                text = file.read(_MOST_BYTES).decode(errors="replace")
        except OSError:
            self._read_at, self._addresses = None, {}
            return
        self._read_at, self._addresses = state, _read(text)


def _read(text: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if len(words) < 2:
            continue
        try:
            address = str(ipaddress.ip_address(words[0]))
        except ValueError:
            continue  # a zone of an interface, or a mistake: getaddrinfo passes over it too
        for name in words[1:]:
            known = found.setdefault(name.lower(), [])
            if address not in known:
                known.append(address)
    return {name: tuple(addresses) for name, addresses in found.items()}
