"""Which form of the hot layers a process runs is decided once, and never a mixture."""

import runpy
import shutil
import subprocess
import sys
from importlib import import_module
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

import pytest

import penstock
from penstock._form import COMPILED_LIBRARY, form

SOURCE = Path(str(penstock.__file__)).parent
SHOW_FORM = "from penstock._form import form; print(form())"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the sources, without a compiled library."""
    package = tmp_path / "penstock"
    ignored = shutil.ignore_patterns("*.so", "__pycache__")
    shutil.copytree(SOURCE / "core", package / "core", ignore=ignored)
    for name in ("__init__.py", "_form.py"):
        shutil.copy(SOURCE / name, package / name)
    return tmp_path


def form_in(tree: Path, **environment: str) -> str:
    command = [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {_path(tree)}; {SHOW_FORM}"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    return done.stdout.strip() or done.stderr


def _path(tree: Path) -> list[str]:
    return [str(tree), *sys.path]


def library_in(tree: Path, suffix: str = "") -> None:
    (tree / f"{COMPILED_LIBRARY}{EXTENSION_SUFFIXES[0]}{suffix}").write_bytes(b"half of a library")


def test_a_process_that_starts_beside_the_compiler_runs_from_source(tree: Path) -> None:
    library_in(tree, ".new")
    assert form_in(tree) == "interpreted"


def test_the_compiled_library_is_used_once_it_is_there(tree: Path) -> None:
    library_in(tree)
    assert "ImportError" in form_in(tree), "that half of a library was loaded"


def test_a_process_that_is_to_run_from_source_leaves_the_library_alone(tree: Path) -> None:
    library_in(tree)
    assert form_in(tree, PENSTOCK_PURE="1") == "interpreted"


def test_all_hot_modules_run_in_the_same_form() -> None:
    names = [
        ".".join(Path(path).with_suffix("").parts[1:]) for path in setup_names()["hot_sources"]()
    ]
    compiled = [name for name in names if not str(import_module(name).__file__).endswith(".py")]
    assert compiled == (names if form() == "compiled" else [])


def test_no_module_that_is_compiled_makes_msgspecs_data() -> None:
    """mypyc compiles such a class, and importing it fails: it belongs to an interpreted module."""
    makers = [
        path
        for path in setup_names()["hot_sources"]()
        if "(msgspec.Struct" in SOURCE.parents[1].joinpath(path).read_text()
    ]
    assert makers == []


def setup_names() -> dict[str, Any]:
    """What ``setup.py`` defines."""
    return runpy.run_path(str(SOURCE.parents[1] / "setup.py"), run_name="read")
