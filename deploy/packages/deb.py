"""A package of Debian: Penstock with all it needs below /usr/lib/penstock, and its units.

    python -m deploy.packages.deb [--pure | --wheel FILE] [--python /usr/bin/python3] [--out dist]

It depends on Debian's Python of one version, whose environment it brings; nothing is fetched when
it is installed. The same commit gives the same bytes.
"""

import argparse
import gzip
import hashlib
import os
import shutil
import subprocess
import sys
from email.utils import formatdate
from pathlib import Path
from typing import Final

from deploy.packages.sbom import canonical, closure, direct
from deploy.packages.source import LOCK, ROOT, source_date, version
from deploy.packages.wheels import build

_WORK: Final = ROOT / "build" / "deb"
_HOME: Final = "usr/lib/penstock"
_UNITS: Final = ROOT / "deploy" / "systemd"
_CONTROL: Final = """\
Package: penstock-lb
Version: {version}
Architecture: {architecture}
Maintainer: The Penstock developers <penstock@localhost>
Installed-Size: {kibibytes}
Depends: python3 (>= {python}), python3 (<< {next_python})
Section: net
Priority: optional
Description: load balancer for AI systems
 Penstock balances HTTP, language models, gRPC, WebSocket, TCP and UDP over
 endpoints whose health, load and caches it knows.
 .
 The service is not started by the installation: edit
 /etc/penstock/penstock.yaml, then systemctl enable --now penstock.
"""
_AFTER: Final = """\
#!/bin/sh
set -e
# The service may not write there: without this it would compile all modules at every start.
/usr/lib/penstock/bin/python -m compileall -q /usr/lib/penstock/lib || true
[ -d /run/systemd/system ] || exit 0
systemctl daemon-reload
# A running balancer hands over to the new version, without losing a request.
if [ "$1" = configure ] && [ -n "$2" ] && systemctl --quiet is-active penstock; then
    systemctl kill --kill-who=main --signal=USR2 penstock || true
fi
"""
_BEFORE: Final = """\
#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
    systemctl disable --now penstock.service penstock.socket || true
fi
find /usr/lib/penstock -name __pycache__ -prune -exec rm -rf {} +
"""
_GONE: Final = """\
#!/bin/sh
set -e
if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
if [ "$1" = purge ]; then rm -rf /var/lib/private/penstock; fi
"""
_COMPLETIONS: Final = {
    "bash": "usr/share/bash-completion/completions/penstock",
    "zsh": "usr/share/zsh/vendor-completions/_penstock",
    "fish": "usr/share/fish/vendor_completions.d/penstock.fish",
}


def main() -> None:
    """Build it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    parser.add_argument("--pure", action="store_true", help="interpreted, without a C compiler")
    parser.add_argument("--wheel", type=Path, help="of that Python, built before")
    parser.add_argument("--python", default="/usr/bin/python3", help="Debian's")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    made = build_package(asked.python, asked.out, pure=asked.pure, wheel=asked.wheel)
    print(f"{hashlib.sha256(made.read_bytes()).hexdigest()}  {made}")


def build_package(python: str, out: Path, *, pure: bool, wheel: Path | None = None) -> Path:
    """The package's file, of that wheel or of one that is built."""
    _WORK.mkdir(parents=True, exist_ok=True)
    if wheel is None:
        wheel = build(sys.executable if pure else python, _WORK, pure=pure, twice=False)
    root = _WORK / "root"
    shutil.rmtree(root, ignore_errors=True)
    _install(python, wheel, root)
    _put_files(root)
    _describe(root, python)
    _date(root)
    architecture = _output("dpkg", "--print-architecture")
    made = out / f"penstock-lb_{version()}_{architecture}.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Zxz", "--build", root, made],
        check=True,
        env={**os.environ, "SOURCE_DATE_EPOCH": str(source_date())},
        stdout=sys.stderr,
    )
    return made


def _install(python: str, wheel: Path, root: Path) -> None:
    """An environment of that Python, which knows itself by its place after installation."""
    home = root / _HOME
    subprocess.run([python, "-m", "venv", "--without-pip", "--symlinks", home], check=True)
    for what in (("--require-hashes", "--requirement", _needed()), ("--no-deps", wheel)):
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "--python", home / "bin/python", "install"),
                *("--quiet", "--disable-pip-version-check", "--no-compile"),
                *("--only-binary", ":all:", *what),
            ],
            check=True,
        )
    for script in (home / "bin").iterdir():
        if not script.is_symlink() and script.name != "penstock":
            script.unlink()
    for file in (home / "bin/penstock", home / "pyvenv.cfg"):
        file.write_text(file.read_text().replace(str(root), ""))
    for record in home.rglob("*.dist-info/RECORD"):
        told = record.with_name("direct_url.json")  # where the wheel lay when it was installed
        told.unlink(missing_ok=True)
        lines = record.read_text().splitlines(keepends=True)
        record.write_text("".join(line for line in lines if "direct_url.json" not in line))
    for cache in home.rglob("__pycache__"):
        shutil.rmtree(cache)


def _needed() -> Path:
    """What runs Penstock, of the lock: what builds it as well stays at home."""
    runs = closure(direct())
    blocks = LOCK.read_text().replace("\\\n", "\\\0").splitlines(keepends=True)
    chosen = [block for block in blocks if canonical(block.partition("==")[0]) in runs]
    file = _WORK / "needed"
    file.write_text("".join(chosen).replace("\0", "\n"))
    return file


def _put_files(root: Path) -> None:
    _write(root / "etc/penstock/penstock.yaml", (ROOT / "examples/minimal.yaml").read_text())
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/penstock").symlink_to("../lib/penstock/bin/penstock")
    for unit in _UNITS.iterdir():
        text = unit.read_text().replace("/opt/penstock/bin/", "/usr/bin/")
        _write(root / "usr/lib/systemd/system" / unit.name, text)
    for shell, file in _COMPLETIONS.items():
        script = _output(
            str(root / _HOME / "bin/python"), "-B", "-m", "penstock", "completion", shell
        )
        _write(root / file, script + "\n")
    documents = root / "usr/share/doc/penstock-lb"
    _write(documents / "copyright", (ROOT / "LICENSE").read_text())
    told = f"penstock-lb ({version()}) unstable; urgency=medium\n\n  * See CHANGELOG.md.\n\n"
    told += f" -- The Penstock developers <penstock@localhost>  {formatdate(source_date())}\n"
    (documents / "changelog.gz").write_bytes(gzip.compress(told.encode(), mtime=0))


def _describe(root: Path, python: str) -> None:
    files = sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    size = sum(path.stat().st_size for path in files)
    major, minor = map(
        int, _output(python, "-c", "import sys; print(*sys.version_info[:2])").split()
    )
    control = _CONTROL.format(
        version=version(),
        architecture=_output("dpkg", "--print-architecture"),
        kibibytes=size >> 10,
        python=f"{major}.{minor}",
        next_python=f"{major}.{minor + 1}",
    )
    about = root / "DEBIAN"
    _write(about / "control", control)
    _write(about / "conffiles", "/etc/penstock/penstock.yaml\n")
    sums = (hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() for path in files)
    lines = [f"{each}  {path.relative_to(root)}\n" for each, path in zip(sums, files, strict=True)]
    _write(about / "md5sums", "".join(lines))
    for name, text in (("postinst", _AFTER), ("prerm", _BEFORE), ("postrm", _GONE)):
        _write(about / name, text)
        (about / name).chmod(0o755)


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(0o644)


def _date(root: Path) -> None:
    """One time for all, and modes that no umask changes."""
    for path in [root, *root.rglob("*")]:
        if not path.is_symlink():
            executable = path.is_dir() or bool(path.stat().st_mode & 0o100)
            path.chmod(0o755 if executable else 0o644)
        os.utime(path, (source_date(), source_date()), follow_symlinks=False)


def _output(*command: str) -> str:
    environ = {**os.environ, "PENSTOCK_PURE": "1"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environ)
    return done.stdout.strip()


if __name__ == "__main__":
    main()
