"""Packages are the same whenever they are built from the same source, and say what is in them."""

import json
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
import yaml

from deploy.packages import deb, interpreters, portable
from deploy.packages.sbom import bill_of_materials, canonical, closure
from deploy.packages.source import ROOT, copy_source, source_date, version
from deploy.packages.wheels import put_in_order
from penstock import __version__


def wheel(file: Path, names: list[str], year: int) -> Path:
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name, (year, 1, 1, 0, 0, 0)), name.encode())
    return file


def test_the_order_and_the_time_of_files_do_not_tell_when_it_was_built(tmp_path: Path) -> None:
    names = ["p/b.py", "p/a.py", "p-1.dist-info/RECORD", "p/x.so"]
    one = wheel(tmp_path / "one.whl", names, 2001)
    other = wheel(tmp_path / "other.whl", names[::-1], 2020)
    for each in (one, other):
        put_in_order(each, 1_700_000_000)
    assert one.read_bytes() == other.read_bytes()
    with zipfile.ZipFile(one) as archive:
        assert archive.namelist() == ["p/a.py", "p/b.py", "p/x.so", "p-1.dist-info/RECORD"]
        assert archive.getinfo("p/x.so").external_attr >> 16 == 0o100755


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no checkout")
def test_what_git_does_not_track_gets_into_no_package(tmp_path: Path) -> None:
    copy_source(tmp_path / "source")
    names = {path.name for path in (tmp_path / "source").rglob("*") if path.is_file()}
    assert {"pyproject.toml", "setup.py", "LICENSE", "py.typed"} <= names
    assert not [name for name in names if name.endswith((".so", ".pyc"))]


def test_the_time_of_packages_can_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "12345")
    assert source_date() == 12345
    assert version() == __version__


def test_the_bill_of_materials_names_what_runs_with_its_version(tmp_path: Path) -> None:
    file = wheel(tmp_path / "penstock_lb-0.1.0-py3-none-any.whl", ["p/a.py"], 2001)
    text = bill_of_materials([file], 1_700_000_000)
    assert text == bill_of_materials([file], 1_700_000_000)
    bill = json.loads(text)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", bill["serialNumber"])
    assert bill["metadata"]["component"]["purl"] == f"pkg:pypi/penstock-lb@{__version__}"
    names = {each["name"]: each for each in bill["components"]}
    assert {"aiohttp", "pydantic", "msgspec", "multidict"} <= {*names}
    assert "pytest" not in names
    assert all(each["purl"].startswith("pkg:pypi/") and each["version"] for each in names.values())
    references = [each["bom-ref"] for each in bill["components"]]
    assert len({*references}) == len(references)
    known = {*references, bill["metadata"]["component"]["bom-ref"]}
    for each in bill["dependencies"]:
        assert {each["ref"], *each["dependsOn"]} <= known


def test_the_package_of_debian_has_the_paths_of_its_units() -> None:
    unit = (ROOT / "deploy/systemd/penstock.service").read_text()
    assert unit.count("/opt/penstock/bin/penstock ") == 2  # what the package puts in the place of
    assert "/etc/penstock/penstock.yaml" in deb._CONTROL
    assert deb._CONTROL.splitlines()[0] == "Package: penstock-lb"


def test_systemd_understands_every_line_of_the_units(tmp_path: Path) -> None:
    systemd = shutil.which("systemd-analyze")
    if systemd is None:
        pytest.skip("no systemd here")
    units = tmp_path / "usr/lib/systemd/system"
    units.mkdir(parents=True)
    for unit in (ROOT / "deploy/systemd").iterdir():
        shutil.copy(unit, units)
    for program in ("opt/penstock/bin/penstock", "bin/kill"):  # what they start, in that root
        (tmp_path / program).parent.mkdir(parents=True)
        (tmp_path / program).write_text("#!/bin/sh\n")
        (tmp_path / program).chmod(0o755)
    command = [systemd, "verify", "--man=no", "--recursive-errors=no", f"--root={tmp_path}"]
    told = subprocess.run([*command, *sorted(units.iterdir())], capture_output=True, text=True)
    assert (told.returncode, told.stderr) == (0, "")


def test_every_file_that_is_installed_is_known_by_its_hash() -> None:
    for lock in ROOT.glob("requirements*.lock"):
        text = re.sub(r" \\\n", "", lock.read_text())
        lines = [line for line in text.splitlines() if not line.startswith("#")]
        assert lines, lock
        assert all(
            re.match(r"[\w.-]+==[^ ]+( ; .*)? +--hash=sha256:[0-9a-f]{64}", x) for x in lines
        )


def test_what_builds_penstock_is_in_no_package_of_debian(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deb, "_WORK", tmp_path)
    text = deb._needed().read_text()
    names = {line.partition("==")[0] for line in text.splitlines() if "==" in line}
    assert {"aiohttp", "msgspec", "pydantic-core", "yarl"} <= names
    assert not {"mypy", "setuptools", "#"} & names
    assert text.count("--hash=sha256:") > len(names)


def test_an_interpreter_that_does_not_run_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder, script in (("a", "exit 127"), ("b", "exit 0"), ("c", "exit 0")):
        (tmp_path / folder).mkdir()
        file = tmp_path / folder / "python3.13"
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'a'}:{tmp_path / 'b'}:{tmp_path / 'c'}")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    assert interpreters.interpreters() == [str(tmp_path / "b/python3.13")]


def test_a_wheel_that_needs_a_newer_glibc_than_its_name_says_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.whl"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x.so", b"\0GLIBC_2.2.5\0GLIBC_2.17\0")
        archive.writestr("x.txt", b"GLIBC_2.99")
    old = portable.Target("aarch64", 17)
    assert (portable.newest_glibc(file), old.tag) == (17, "manylinux_2_17_aarch64")
    portable.check_glibc(file, old)
    with pytest.raises(SystemExit, match=r"needs glibc 2\.17, its name promises 2\.5"):
        portable.check_glibc(file, portable.Target("aarch64", 5))


def test_needs_are_followed_through() -> None:
    assert {"aiohttp", "yarl", "idna"} <= closure(["aiohttp"]).keys()
    assert canonical("Backports.zstd_x") == "backports-zstd-x"


def test_the_workflow_builds_with_what_the_project_says() -> None:
    text = (ROOT / ".github/workflows/wheels.yml").read_text()
    jobs = yaml.safe_load(text)["jobs"]
    assert {"linux", "pure"} <= {*jobs}
    # By hand and for tags alone, with no right but to read.
    assert yaml.safe_load(text)["permissions"] == {"contents": "read"}
