"""Who listens on a port: asked of /proc when a listener cannot have it."""

import os
import pwd
from pathlib import Path
from typing import Final

_LISTEN: Final = "0A"  # in proc_pid_net(5)
_WORKER: Final = "penstock.dataplane.worker"
_MOST_SHOWN: Final = 60  # characters of a command line


def holders_of(port: int) -> str:
    """What is known of them and how to end them, for people; empty when nothing is known."""
    inodes, users = _listening(port)
    if not inodes:
        return ""
    pids = _with_sockets(inodes)
    if not pids:
        names = ", ".join(sorted(_user(uid) for uid in users))
        return f"a process of the user {names} listens there"
    if os.getpid() in pids:
        return "this Penstock itself listens there, for another of its listeners"
    workers = [pid for pid in pids if _WORKER in _arguments(pid)]
    others = [pid for pid in pids if pid not in workers]
    if workers and not others:
        numbers = " ".join(map(str, workers))
        return (
            "workers of a Penstock whose supervisor is dead listen there; it had another "
            f"configuration or runtime directory. End them with `kill {numbers}`"
        )
    if workers:
        return (
            f"another Penstock serves there, pid {others[0]} ({_shown(others[0])}); "
            f"end it with `kill {others[0]}`"
        )
    return f"pid {others[0]} ({_shown(others[0])}) listens there"


def _listening(port: int) -> tuple[set[str], set[int]]:
    """Inodes of the sockets that listen on the port, and their users."""
    inodes: set[str] = set()
    users: set[int] = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:  # no Linux, or no IPv6
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                users.add(int(fields[7]))
                inodes.add(fields[9])
    return inodes, users


def _with_sockets(inodes: set[str]) -> list[int]:
    """Processes that have one of them open, as far as we may see."""
    wanted = {f"socket:[{inode}]" for inode in inodes}
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            with os.scandir(entry / "fd") as open_files:
                if any(os.readlink(each.path) in wanted for each in open_files):
                    found.append(int(entry.name))
        except OSError:  # somebody else's, or it ended
            continue
    return sorted(found)


def _arguments(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def _shown(pid: int) -> str:
    command = " ".join(_arguments(pid)).strip()
    return command if len(command) <= _MOST_SHOWN else f"{command[:_MOST_SHOWN]}…"


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
