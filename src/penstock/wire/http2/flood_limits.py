"""What a peer may do at all, and how often: bounds against what is cheap to send and dear to serve.

Each kind of event has a bucket of tokens: ``burst`` at once, then ``per_s`` a second. Known
attacks: rapid reset (CVE-2023-44487), resets that the peer provokes (CVE-2025-8671), floods of
PING, SETTINGS, PRIORITY and empty frames (CVE-2019-9512, 9513, 9515, 9518), CONTINUATION
(CVE-2024-27316), header lists of references (CVE-2026-49975), tiny windows (CVE-2019-9511, 9517).
"""

from typing import Final

from penstock.wire.http2.codes import ENHANCE_YOUR_CALM, ConnectionFault

RESETS_RECEIVED: Final = 0
RESETS_PROVOKED: Final = 1  # streams that we reset because of what the peer sent
PINGS: Final = 2
SETTINGS_FRAMES: Final = 3
EMPTY_FRAMES: Final = 4  # DATA without content or end
WINDOW_UPDATES: Final = 5  # more than what we sent can explain
PRIORITIES: Final = 6
UNKNOWN_FRAMES: Final = 7
CONTINUATIONS: Final = 8
HEADER_LISTS: Final = 9  # over the bounds of fields or bytes
PENDING_OUTPUT: Final = 10  # answers of the protocol that the peer does not read
FLOODS: Final = (
    "resets_received",
    "resets_provoked",
    "pings",
    "settings",
    "empty_frames",
    "window_updates",
    "priorities",
    "unknown_frames",
    "continuations",
    "header_lists",
    "pending_output",
)
_BUCKETS: Final = UNKNOWN_FRAMES + 1


class Limits:
    """Bounds on one peer; shared by connections, which only read them."""

    def __init__(self) -> None:
        self.header_fields: int = 128  # field lines of a head or trailer section, crumbs too
        self.header_list_bytes: int = 32768  # of one list, 32 octets added to each line
        self.held_header_bytes: int = 131072  # of the heads of all open streams
        self.continuations: int = 8  # frames of one header block after the first
        self.connection_window_bytes: int = 131072  # received and not yet consumed, at most
        self.pending_output_bytes: int = 65536  # of acks, resets and the like, not yet taken
        self.burst: list[int] = [200, 200, 100, 50, 200, 400, 400, 200]
        self.per_s: list[float] = [50.0, 50.0, 10.0, 5.0, 20.0, 100.0, 100.0, 20.0]


class FloodCounter:
    """How often each kind happened on one connection, and whether it is too often."""

    def __init__(self, limits: Limits) -> None:
        self._limits: Limits = limits
        self._tokens: list[float] = [float(burst) for burst in limits.burst]
        self._filled_at: list[float] = [-1.0] * _BUCKETS
        self.counts: list[int] = [0] * len(FLOODS)
        self.exceeded: int = -1  # the kind that ended the connection

    def note(self, kind: int, now: float) -> None:
        """It happened once more. Raises ConnectionFault when that is too often."""
        self.counts[kind] += 1
        since = self._filled_at[kind]
        tokens = self._tokens[kind]
        if since >= 0.0 and now > since:
            tokens += (now - since) * self._limits.per_s[kind]
            burst = float(self._limits.burst[kind])
            tokens = min(burst, tokens)
        self._filled_at[kind] = now
        if tokens < 1.0:
            raise self.fault(kind)
        self._tokens[kind] = tokens - 1.0

    def allow(self, kind: int, more: float) -> None:
        """What we do ourselves calls for it."""
        tokens = self._tokens[kind] + more
        burst = float(self._limits.burst[kind])
        self._tokens[kind] = min(burst, tokens)

    def fault(self, kind: int) -> ConnectionFault:
        """A bound was exceeded."""
        self.exceeded = kind
        return ConnectionFault(ENHANCE_YOUR_CALM, f"too many {FLOODS[kind].replace('_', ' ')}")
