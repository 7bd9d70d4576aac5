"""Wheels for machines that are not at hand, compiled by zig, which PyPI has as ``ziglang``.

zig knows which functions each version of glibc has, and compiles for aarch64 as well. Headers of
Python are those of the interpreter at hand: on 64-bit Linux they say the same of both machines.
"""

import re
import shlex
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ZIG: Final = Path(__file__).with_name("zig.lock").read_text()
_VERSION: Final = re.compile(rb"GLIBC_2\.(\d+)")


@dataclass(frozen=True)
class Target:
    """A machine, and the oldest glibc (2.``glibc``) that the wheel is to run with."""

    machine: str
    glibc: int

    @property
    def tag(self) -> str:
        """As wheels are named (PEP 600)."""
        return f"manylinux_2_{self.glibc}_{self.machine}"

    def environ(self, python: Path, work: Path) -> dict[str, str]:
        """What makes setuptools, run by that interpreter, compile for it."""
        compiler = work / f"cc-{self.tag}"
        zig = shlex.join([str(python), "-m", "ziglang", "cc"])
        compiler.write_text(
            f'#!/bin/sh\nexec {zig} -target {self.machine}-linux-gnu.2.{self.glibc} "$@"\n'
        )
        compiler.chmod(0o755)
        asked = [str(python), "-c", "import sys; print('%d%d' % sys.version_info[:2])"]
        version = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
        return {
            "CC": str(compiler),
            "LDSHARED": f"{compiler} -shared",
            # Debug information would name folders of this machine; the linker drops its symbols.
            "LDFLAGS": "-Wl,--build-id=none -s",
            "ZIG_GLOBAL_CACHE_DIR": str(work / "zig"),
            "_PYTHON_HOST_PLATFORM": f"linux-{self.machine}",
            "SETUPTOOLS_EXT_SUFFIX": f".cpython-{version}-{self.machine}-linux-gnu.so",
        }


TARGETS: Final = (Target("x86_64", 17), Target("aarch64", 17))


def newest_glibc(wheel: Path) -> int:
    """The 2.x of the newest glibc that a library in it asks for."""
    asked = [0]
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.endswith(".so"):
                asked += map(int, _VERSION.findall(archive.read(name)))
    return max(asked)


def check_glibc(wheel: Path, target: Target) -> None:
    """Raises SystemExit where it needs a newer glibc than its name says."""
    newest = newest_glibc(wheel)
    if newest > target.glibc:
        sys.exit(f"{wheel}: needs glibc 2.{newest}, its name promises 2.{target.glibc}")
