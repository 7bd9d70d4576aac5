"""What a peer may do at all, and how often: bounds against what is cheap to send and dear to serve.

Each kind of event has a bucket of tokens: ``burst`` at once, then ``per_s`` a second; what is done
properly earns more, so that a busy connection may do in proportion what an idle one may not. Known
attacks: rapid reset (CVE-2023-44487), resets that the peer provokes (CVE-2025-8671), floods of
PING, SETTINGS, PRIORITY and empty frames (CVE-2019-9512, 9513, 9515, 9518), CONTINUATION
(CVE-2024-27316), header lists of references (CVE-2026-49975), tiny windows (CVE-2019-9511, 9517).
"""

from typing import Final

from penstock.wire.http2.codes import (
    ENHANCE_YOUR_CALM,
    INITIAL_WINDOW_BYTES,
    ConnectionFault,
)

RESETS_RECEIVED: Final = 0
RESETS_PROVOKED: Final = 1  # streams that we reset because of what the peer sent
PINGS: Final = 2
SETTINGS_FRAMES: Final = 3
EMPTY_FRAMES: Final = 4  # DATA without content or end
WINDOW_UPDATES: Final = 5  # more than what we sent can explain
PRIORITIES: Final = 6
OTHER_FRAMES: Final = 7  # GOAWAY, and what is unknown
CONTINUATIONS: Final = 8
HEADER_LISTS: Final = 9  # over the bounds of fields or bytes
PENDING_OUTPUT: Final = 10  # answers of the protocol that the peer does not read
INTERIM_RESPONSES: Final = 11  # to a client
FLOODS: Final = (
    "resets_received",
    "resets_provoked",
    "pings",
    "settings",
    "empty_frames",
    "window_updates",
    "priorities",
    "other_frames",
    "continuations",
    "header_lists",
    "pending_output",
    "interim_responses",
)


class Limits:
    """Bounds on one peer; shared by connections, which only read them.

    ``memory_bytes`` is what one connection may make us hold beyond an idle one, whatever is sent;
    what its streams' receivers keep is within it as long as they copy nothing.
    """

    def __init__(self, memory_bytes: int = 262144) -> None:
        self.header_fields: int = 128  # field lines of a head or trailer section, crumbs too
        self.header_list_bytes: int = 32768  # of one list, 32 octets added to each line
        self.held_header_bytes: int = memory_bytes // 4  # of the heads of all open streams
        self.continuations: int = 8  # frames of one header block after the first
        # Received and not yet consumed; the protocol allows no less (RFC 9113, 6.9.2).
        self.connection_window_bytes: int = max(memory_bytes * 3 // 8, INITIAL_WINDOW_BYTES)
        self.output_bytes: int = memory_bytes // 8  # that wait to be taken; content stops there
        self.pending_output_bytes: int = memory_bytes // 16  # of acks, resets and the like
        self.remembered_bytes: int = memory_bytes // 16  # of header blocks received
        # By kind, in the order of their numbers; of those from 8 to 10 none is tolerated.
        self.burst: list[int] = [200, 300, 100, 50, 200, 400, 400, 200, 0, 0, 0, 400]
        self.per_s: list[float] = [50.0, 50.0, 10.0, 5.0, 20.0, 100.0, 100.0, 20.0]
        self.per_s += [0.0, 0.0, 0.0, 100.0]


class FloodCounter:
    """How often each kind happened on one connection, and whether it is too often."""

    def __init__(self, limits: Limits) -> None:
        self._limits: Limits = limits
        self._tokens: list[float] = [float(burst) for burst in limits.burst]
        self._filled_at: list[float] = [-1.0] * len(FLOODS)
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
