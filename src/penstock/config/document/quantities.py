"""Durations and sizes, as a configuration writes them."""

import math
import re
from typing import Final

from penstock.config.document.show import show

_SECONDS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(us|ms|s|m|h|d)")
_DURATION: Final = re.compile(rf"(?:{_DURATION_PART.pattern})+")
_LONGEST_S: Final = 366 * 86400.0
_BYTES: Final = {
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
}
_SIZE: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(B|KB|MB|GB|KiB|MiB|GiB)?")
_LARGEST_BYTES: Final = 2**50


def parse_duration(value: object) -> float:
    """Seconds in ``250ms``, ``2s``, ``1m30s`` or ``off`` (0). Raises ValueError."""
    if value == "off" or (value == 0 and not isinstance(value, bool)):
        return 0.0
    if isinstance(value, str) and _DURATION.fullmatch(value):
        seconds = math.fsum(
            float(number) * _SECONDS[unit] for number, unit in _DURATION_PART.findall(value)
        )
        if seconds <= _LONGEST_S:
            return seconds
        raise ValueError(f"{value!r} is longer than a year")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        raise ValueError(f"a duration needs its unit: {value:g}s or {value:g}ms")
    raise ValueError(f"a duration such as 250ms, 2s or 1m30s is needed, not {show(value)}")


def format_duration(seconds: float) -> str:
    """The shortest text that ``parse_duration`` reads as ``seconds``."""
    if seconds == 0:
        return "off"
    for unit in ("h", "m", "s", "ms"):
        count = round(seconds / _SECONDS[unit], 9)
        if count >= 1 and count == int(count):
            return f"{int(count)}{unit}"
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"


def parse_size(value: object) -> int:
    """Bytes in ``8MiB``, ``64KB``, a plain number or ``off`` (0). Raises ValueError."""
    if value == "off":
        return 0
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    found = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"a size such as 32KiB or 8MiB is needed, not {show(value)}")
    size = float(found[1]) * _BYTES[found[2] or "B"]
    if size > _LARGEST_BYTES or size != int(size):
        raise ValueError(f"{show(value)} is not a whole number of bytes up to 2^50")
    return int(size)


def format_size(size: int) -> str:
    """The shortest text that ``parse_size`` reads as ``size``."""
    for unit in ("GiB", "MiB", "KiB"):
        if size and size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]}{unit}"
    return str(size) if size else "off"


DURATION_PATTERN: Final = rf"^(off|{_DURATION.pattern})$"
SIZE_PATTERN: Final = rf"^(off|{_SIZE.pattern})$"
