"""The time of day, as lines and records of this process tell it."""

from time import gmtime, strftime
from typing import Final

from penstock.dataplane.io.system import System

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = (
    *("Jan", "Feb", "Mar", "Apr", "May", "Jun"),
    *("Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
)


class _TimeOfDay:
    """Whose clock tells it in this process, and the last second that was shown, and how."""

    def __init__(self) -> None:
        self.system: System = System()
        self.second: int = -1
        self.shown: bytes = b""


_time_of_day: Final = _TimeOfDay()


def tell_time_by(system: System) -> None:
    """Lines and records of this process have the time of this system's wall clock from here on."""
    _time_of_day.system = system


def time_stamp() -> bytes:
    """Now, as RFC 3339 has it: ``2026-01-31T12:00:00.123Z``."""
    known = _time_of_day
    now_ms = int(known.system.wall_clock() * 1e3)
    second = now_ms // 1000
    if second != known.second:
        known.second = second
        known.shown = strftime("%Y-%m-%dT%H:%M:%S", gmtime(second)).encode()
    return b"%b.%03dZ" % (known.shown, now_ms % 1000)


def http_date(second: int) -> bytes:
    """That second since 1970, as HTTP has it (RFC 9110, 5.6.7)."""
    at = gmtime(second)
    day = f"{_DAYS[at.tm_wday]}, {at.tm_mday:02d} {_MONTHS[at.tm_mon - 1]} {at.tm_year:04d}"
    return f"{day} {at.tm_hour:02d}:{at.tm_min:02d}:{at.tm_sec:02d} GMT".encode()


def wall_clock() -> float:
    """Seconds since 1970, for the records of decisions."""
    return _time_of_day.system.wall_clock()


def day_of(ago_s: float) -> bytes:
    """The second so long ago, as Apache has it: ``31/Jan/2026:12:00:00 +0000``."""
    return f"{_second(wall_clock() - ago_s)} +0000".encode()


def moment_of(ago_s: float) -> bytes:
    """The moment so long ago, as HAProxy has it: ``31/Jan/2026:12:00:00.123``."""
    when = wall_clock() - ago_s
    return f"{_second(when)}.{int(when * 1e3) % 1000:03d}".encode()


def _second(when: float) -> str:
    # strftime would write months in the language of the machine.
    at = gmtime(when)
    day = f"{at.tm_mday:02d}/{_MONTHS[at.tm_mon - 1]}/{at.tm_year}"
    return f"{day}:{at.tm_hour:02d}:{at.tm_min:02d}:{at.tm_sec:02d}"
