"""Wheels of Penstock: one of Python alone, and one for each interpreter at hand, compiled.

    python -m deploy.packages.wheels [--pure-only] [--python PATH] [--portable] [--twice]

They are the same bit for bit whenever they are built from the same commit with the same compiler:
files are those that git tracks, in one order, with one time. ``--twice`` builds and compares.
``--portable`` builds them by zig, for old versions of glibc and for aarch64 as well (portable.py).
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from deploy.packages.interpreters import interpreters
from deploy.packages.portable import TARGETS, ZIG, Target, check_glibc
from deploy.packages.sbom import bill_of_materials
from deploy.packages.source import LOCK, ROOT, copy_source, source_date, version

_FIRST_DATE_S: Final = 315532800  # 1980-01-01: zip archives know none before
_WORK: Final = ROOT / "build" / "wheels"


def main() -> None:
    """Build what can be built here."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    parser.add_argument("--pure-only", action="store_true", help="only the one of Python alone")
    parser.add_argument("--python", action="append", help="for this interpreter; repeatable")
    parser.add_argument("--portable", action="store_true", help="by zig, for two machines")
    parser.add_argument("--twice", action="store_true", help="build each twice and compare")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    made = [build(sys.executable, asked.out, pure=True, twice=asked.twice)]
    pythons = [] if asked.pure_only else asked.python or interpreters()
    targets: Sequence[Target | None] = TARGETS if asked.portable else (None,)
    made += [
        build(python, asked.out, pure=False, twice=asked.twice, target=target)
        for python in pythons
        for target in targets
    ]
    bill = asked.out / f"penstock_lb-{version()}.cdx.json"
    bill.write_text(bill_of_materials(made, source_date()))
    for file in [*made, bill]:
        print(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file}")


def build(python: str, out: Path, *, pure: bool, twice: bool, target: Target | None = None) -> Path:
    """One wheel. Raises SystemExit where two builds of the same differ."""
    began = time.monotonic()
    environment = prepared(python, "" if target is None else ZIG)
    made = _built(environment, pure, target)
    final = out / made.name
    shutil.copyfile(made, final)
    if target is not None:
        check_glibc(final, target)
    if twice and _built(environment, pure, target).read_bytes() != final.read_bytes():
        sys.exit(f"{final}: two builds differ; the second is {made}")
    took_s, size_kb = time.monotonic() - began, final.stat().st_size / 1000
    print(f"{made.name}: {took_s:.0f} s, {size_kb:,.0f} kB", file=sys.stderr)
    return final


def prepared(python: str, besides: str = "") -> Path:
    """An interpreter with what building needs, in the versions of the lock."""
    needed = LOCK.read_text() + besides
    environment = _WORK / "environments" / Path(python).name
    ready = environment / "ready"
    if not ready.exists() or ready.read_text() != python + needed:
        subprocess.run([python, "-m", "venv", "--clear", environment], check=True)
        (environment / "needed").write_text(needed)
        subprocess.run(
            [
                *(environment / "bin/python", "-m", "pip", "install", "--quiet", "--no-compile"),
                *("--disable-pip-version-check", "--require-hashes"),
                *("--requirement", environment / "needed"),
            ],
            check=True,
        )
        ready.write_text(python + needed)
    return environment / "bin/python"


def _built(python: Path, pure: bool, target: Target | None) -> Path:
    source, out = _WORK / "source", _WORK / "out"
    copy_source(source)
    shutil.rmtree(out, ignore_errors=True)
    environ = {
        **os.environ,
        "SOURCE_DATE_EPOCH": str(source_date()),
        "PYTHONHASHSEED": "0",
        "PENSTOCK_PURE": "1" if pure else "",
        "PENSTOCK_REQUIRE_COMPILED": "" if pure else "1",
        # Else the library tells where it was built.
        "CFLAGS": f"{os.environ.get('CFLAGS', '')} -ffile-prefix-map={source}=. -g0",
        "LDFLAGS": f"{os.environ.get('LDFLAGS', '')} -Wl,--build-id=none",
    }
    command: list[str | Path] = [python, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    command += ["--disable-pip-version-check", "--no-build-isolation", "--wheel-dir", out]
    if target is not None:
        environ |= target.environ(python, _WORK)
        command.append(f"--config-settings=--build-option=--plat-name={target.tag}")
    subprocess.run([*command, source], check=True, env=environ, stdout=sys.stderr)
    [made] = out.glob("*.whl")
    put_in_order(made, source_date())
    return made


def put_in_order(wheel: Path, date_s: int) -> None:
    """Its files in the order of their names, with one time and mode; RECORD last, as it was."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
        files = {name: archive.read(name) for name in names}
    when = time.gmtime(max(date_s, _FIRST_DATE_S))[:6]
    in_order = sorted(files, key=lambda name: (name.endswith(".dist-info/RECORD"), name))
    made = wheel.with_suffix(".now")
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in in_order:
            entry = zipfile.ZipInfo(name, when)
            entry.external_attr = (0o100755 if name.endswith(".so") else 0o100644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, files[name], compresslevel=9)
    made.replace(wheel)


if __name__ == "__main__":
    main()
