"""Wheels of Penstock: one of Python alone, and one for each interpreter at hand, compiled.

    python -m deploy.packages.wheels [--pure-only] [--twice] [--out dist]

They are the same bit for bit whenever they are built from the same commit with the same compiler:
files are those that git tracks, in one order, with one time. ``--twice`` builds and compares.
Wheels for other machines and for old versions of glibc are built by .github/workflows/wheels.yml.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import time
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from deploy.packages.sbom import bill_of_materials
from deploy.packages.source import ROOT, copy_source, source_date, version

_VERSIONS: Final = ("3.11", "3.12", "3.13", "3.14", "3.15")
_FIRST_DATE_S: Final = 315532800  # 1980-01-01: zip archives know none before
_WORK: Final = ROOT / "build" / "wheels"


def main() -> None:
    """Build what can be built here."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    parser.add_argument("--pure-only", action="store_true", help="only the one of Python alone")
    parser.add_argument("--twice", action="store_true", help="build each twice and compare")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    made = [build(sys.executable, asked.out, pure=True, twice=asked.twice)]
    if not asked.pure_only:
        made += [build(each, asked.out, pure=False, twice=asked.twice) for each in interpreters()]
    bill = asked.out / f"penstock_lb-{version()}.cdx.json"
    bill.write_text(bill_of_materials(made, source_date()))
    for file in [*made, bill]:
        print(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file}")


def interpreters() -> Iterator[str]:
    """Every CPython that is found by its name and can make an environment."""
    for each in _VERSIONS:
        found = shutil.which(f"python{each}")
        if (
            found
            and subprocess.run([found, "-c", "import venv"], capture_output=True).returncode == 0
        ):
            yield found


def build(python: str, out: Path, *, pure: bool, twice: bool) -> Path:
    """One wheel. Raises SystemExit where two builds of the same differ."""
    began = time.monotonic()
    environment = prepared(python)
    made = _built(environment, pure)
    final = out / made.name
    shutil.copyfile(made, final)
    if twice and _built(environment, pure).read_bytes() != final.read_bytes():
        sys.exit(f"{final}: two builds differ; the second is {made}")
    print(f"{made.name}: {time.monotonic() - began:.0f} s", file=sys.stderr)
    return final


def prepared(python: str) -> Path:
    """An interpreter with what building needs, in the versions of the lock."""
    environment = _WORK / "environments" / Path(python).name
    if not (environment / "ready").exists():
        subprocess.run([python, "-m", "venv", "--clear", environment], check=True)
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())
        subprocess.run(
            [
                *(environment / "bin/python", "-m", "pip", "install", "--quiet"),
                *("--disable-pip-version-check", "--constraint", ROOT / "requirements-dev.lock"),
                *project["build-system"]["requires"],
            ],
            check=True,
        )
        (environment / "ready").touch()
    return environment / "bin/python"


def _built(python: Path, pure: bool) -> Path:
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
    subprocess.run(
        [
            *(python, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"),
            *("--no-deps", "--no-build-isolation", "--wheel-dir", out, source),
        ],
        check=True,
        env=environ,
        stdout=sys.stderr,
    )
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
