"""What services said of requests (``forward_auth``), as long as that counts."""

from typing import Final

from penstock.wire.http1 import Field

_MOST_KEPT: Final = 10_000


class AuthVerdict:
    """``status``: 0: the service did not answer. ``fields`` of a yes go to the endpoint, of a no
    to the client, with ``body``."""

    until: float = 0.0  # kept; 0.0: it is not

    def __init__(self, status: int, fields: list[Field], body: bytes, why: str = "") -> None:
        self.status: int = status
        self.fields: list[Field] = fields
        self.body: bytes = body
        self.why: str = why

    @property
    def allows(self) -> bool:
        """Whether the request goes on."""
        return 200 <= self.status < 300

    def value(self, name: str) -> str:
        """Of a field of a yes; "" without it."""
        wanted = name.lower().encode()
        for lower, _, value in self.fields:
            if lower == wanted:
                return value.decode("latin-1")
        return ""


class AuthVerdicts:
    """What was said of late, where a route keeps it: bounded, the oldest leaves."""

    def __init__(self) -> None:
        self._known: dict[bytes, AuthVerdict] = {}

    def get(self, digest: bytes, now: float) -> AuthVerdict | None:
        """What was said of such a request, while it is kept."""
        found = self._known.get(digest)
        if found is not None and found.until <= now:
            del self._known[digest]
            return None
        return found

    def keep(self, digest: bytes, verdict: AuthVerdict, until: float) -> None:
        """Until then."""
        verdict.until = until
        if len(self._known) >= _MOST_KEPT:
            del self._known[next(iter(self._known))]
        self._known[digest] = verdict
