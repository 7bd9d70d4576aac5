"""Which form of the hot layers a process runs is decided once, and never a mixture."""

import runpy
import shutil
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

import penstock
from penstock._form import COMPILED_LIBRARY

SOURCE = Path(str(penstock.__file__)).parent
SHOW_FORM = "from penstock._form import form; print(form())"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the sources, beside which a compiler has made one module so far."""
    package = tmp_path / "penstock"
    ignored = shutil.ignore_patterns("*.so", "__pycache__")
    shutil.copytree(SOURCE / "core", package / "core", ignore=ignored)
    for name in ("__init__.py", "_form.py"):
        shutil.copy(SOURCE / name, package / name)
    (package / "core" / f"env{EXTENSION_SUFFIXES[0]}").write_bytes(b"half of a module")
    return tmp_path


def form_in(tree: Path) -> str:
    command = [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {_path(tree)}; {SHOW_FORM}"]
    done = subprocess.run(command, capture_output=True, text=True, env={}, check=False)
    return done.stdout.strip() or done.stderr


def _path(tree: Path) -> list[str]:
    return [str(tree), *sys.path]


def test_a_process_that_starts_beside_the_compiler_runs_from_source(tree: Path) -> None:
    assert form_in(tree) == "interpreted"


def test_what_is_compiled_is_used_once_the_library_that_all_share_is_there(tree: Path) -> None:
    (tree / f"{COMPILED_LIBRARY}{EXTENSION_SUFFIXES[0]}").touch()
    assert "ImportError" in form_in(tree), "that half of a module was loaded"


def test_no_module_that_is_compiled_makes_msgspecs_data() -> None:
    """mypyc compiles such a class, and importing it fails: it belongs to an interpreted module."""
    setup = runpy.run_path(str(SOURCE.parents[1] / "setup.py"), run_name="read")
    makers = [
        path
        for path in setup["hot_sources"]()
        if "(msgspec.Struct" in SOURCE.parents[1].joinpath(path).read_text()
    ]
    assert makers == []
