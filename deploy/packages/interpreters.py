"""Interpreters of Python that are at hand: those on the path, and those that pyenv keeps."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

VERSIONS: Final = ("3.11", "3.12", "3.13", "3.14", "3.15")
# That it runs at all (pyenv has names on the path for versions that are not chosen), can make an
# environment, is CPython, and has its lock.
_FIT: Final = """\
import sys, sysconfig, venv, ensurepip
sys.exit(sys.implementation.name != "cpython" or bool(sysconfig.get_config_var("Py_GIL_DISABLED")))
"""


def interpreters() -> list[str]:
    """One CPython of each version that Penstock is built for, as far as they are here."""
    found = (next(filter(_fits, _candidates(f"python{each}")), None) for each in VERSIONS)
    return [each for each in found if each is not None]


def _candidates(name: str) -> Iterator[str]:
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        if os.access(Path(folder, name), os.X_OK):
            yield str(Path(folder, name))
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for path in sorted(pyenv.glob(f"versions/*/bin/{name}"), reverse=True):
        yield str(path)


def _fits(python: str) -> bool:
    return subprocess.run([python, "-c", _FIT], capture_output=True).returncode == 0
