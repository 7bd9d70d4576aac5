"""Why something is as it is."""

from dataclasses import dataclass


@dataclass
class Cause:
    """Why something is as it is, and since when (seconds since 1970)."""

    reason: str
    since: float

    def begun(self, before: "Cause | None") -> "Cause":
        """This reason, since the time of the cause before, if there was one."""
        return Cause(self.reason, before.since) if before is not None else self
