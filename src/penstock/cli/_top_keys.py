"""Keys of a terminal, one by one."""

from __future__ import annotations

import os
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

# As xterm and the Linux console send them.
_SEQUENCES: Final = {
    b"\x1b[A": "up",
    b"\x1b[B": "down",
    b"\x1bOA": "up",
    b"\x1bOB": "down",
    b"\x1b[5~": "page up",
    b"\x1b[6~": "page down",
    b"\x1b[H": "home",
    b"\x1b[F": "end",
    b"\x1b[1~": "home",
    b"\x1b[4~": "end",
    b"\x1bOH": "home",
    b"\x1bOF": "end",
    b"\x1b[Z": "back tab",
    b"\x1bOS": "F4",
    b"\x1b[14~": "F4",
    b"\x1b[15~": "F5",
    b"\x1b[17~": "F6",
    b"\x1b[18~": "F7",
    b"\x1b[19~": "F8",
    b"\x1b[20~": "F9",
    b"\x1b[21~": "F10",
}
_NAMED: Final = {"\x1b": "escape", "\r": "enter", "\n": "enter", "\t": "tab", "\x7f": "backspace"}
_NAMED_TOO: Final = {"\x08": "backspace", "\x03": "q"}
_LONGEST: Final = max(map(len, _SEQUENCES))
_MOST_BYTES: Final = 1024


def keys_in(data: bytes) -> Iterator[str]:
    """The keys that were pressed; sequences that are not known are none."""
    at = 0
    while at < len(data):
        for length in range(_LONGEST, 2, -1):
            if (name := _SEQUENCES.get(data[at : at + length])) is not None:
                yield name
                at += length
                break
        else:
            if data[at] == 0x1B and at + 1 < len(data):
                return
            rest = data[at:].decode("utf-8", "ignore")
            if not rest:
                return
            key = rest[0]
            at += len(key.encode())
            yield _NAMED.get(key) or _NAMED_TOO.get(key) or key


@contextmanager
def keyboard(on_ready: Callable[[int, Callable[[], None]], object]) -> Iterator[list[str]]:
    """The list of keys pressed, which grows; ``on_ready`` watches the terminal for reading."""
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    pressed: list[str] = []

    def read() -> None:
        pressed.extend(keys_in(os.read(fd, _MOST_BYTES)) or ["q"])

    tty.setcbreak(fd)
    try:
        on_ready(fd, read)
        yield pressed
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
