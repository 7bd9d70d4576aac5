"""What the operating system's accounts say about processes: CPU time, memory, descriptors.

Source: proc(5). ``utime`` and ``stime`` of ``/proc/PID/stat`` hold all threads of a process.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_PROC: Final = Path("/proc")
_USER_MEMORY: Final = ("Pss_Anon", "Pss_Shmem")
# Positions after the command name, which is cut off because it may hold spaces.
_PARENT: Final = 1
_UTIME: Final = 11
_STIME: Final = 12


def tree(root: int) -> list[int]:
    """``root`` and every living descendant, the root first."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[_PARENT]), []).append(int(entry.name))
    found = [root]
    for pid in found:
        found.extend(sorted(children.get(pid, [])))
    return found


@dataclass(frozen=True)
class Cpu:
    """CPU time in seconds."""

    user_s: float
    system_s: float

    @property
    def total_s(self) -> float:
        return self.user_s + self.system_s

    def since(self, before: "Cpu") -> "Cpu":
        return Cpu(self.user_s - before.user_s, self.system_s - before.system_s)


def cpu(pids: list[int]) -> dict[int, Cpu]:
    """What each process spent so far; nothing for those that ended."""
    spent: dict[int, Cpu] = {}
    for pid in pids:
        if fields := _stat(pid):
            user, system = int(fields[_UTIME]), int(fields[_STIME])
            spent[pid] = Cpu(user / _TICKS_PER_S, system / _TICKS_PER_S)
    return spent


def memory_bytes(pids: list[int]) -> int:
    """Resident user memory of the processes: anonymous and shared, without mapped files.

    From ``/proc/PID/smaps_rollup``, proportionally where several share a page. Pages of files are
    left out because their part depends on who else on the machine runs the same program.
    """
    total = 0
    for pid in pids:
        for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in _USER_MEMORY:
                total += int(value.split()[0]) * 1024
    return total


def descriptors(pids: list[int]) -> int:
    """Open file descriptors of the processes, summed."""
    return sum([len(os.listdir(_PROC / str(pid) / "fd")) for pid in pids])


def command_line(pid: int) -> str:
    """The arguments of a process with spaces between; empty when it ended."""
    try:
        return (_PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except OSError:
        return ""


def _stat(pid: int) -> list[str]:
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except OSError:  # it ended meanwhile
        return []
    return text.rpartition(")")[2].split()
