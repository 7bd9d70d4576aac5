"""The source that packages are built from: what git tracks, and when it was last changed."""

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements.lock"  # of what runs and builds Penstock


def source_date() -> int:
    """Seconds since 1970 that files in packages have: SOURCE_DATE_EPOCH, or the last commit's."""
    told = os.environ.get("SOURCE_DATE_EPOCH")
    if told:
        return int(told)
    shown = subprocess.run(
        ["git", "log", "-1", "--format=%ct"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return int(shown.stdout)


def copy_source(to: Path) -> None:
    """The tracked files, as they are now, with modes that no umask changes. ``to`` is made anew."""
    shutil.rmtree(to, ignore_errors=True)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "src", "setup.py", "pyproject.toml", "README.md", "LICENSE"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in listed.stdout.split("\0"):
        source = ROOT / name
        if name and source.exists():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, to / name)
            (to / name).chmod(0o644)


def version() -> str:
    """Ours."""
    text = (ROOT / "src/penstock/__init__.py").read_text()
    return text.partition('__version__ = "')[2].partition('"')[0]
