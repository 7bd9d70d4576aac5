"""How the compiled library is built: in parts beside each other, whole or not at all."""

import runpy
import threading
from pathlib import Path
from typing import Any

import pytest
from setuptools import Distribution, Extension

SETUP = runpy.run_path(str(Path(__file__).parents[2] / "setup.py"), run_name="read")
PART_BYTES: int = SETUP["PART_BYTES"]
OptionalBuild: Any = SETUP["OptionalBuild"]


class Compiler:
    """Notes what it is given."""

    def __init__(self, fails_on: str = "") -> None:
        self.given: list[tuple[list[str], dict[str, Any]]] = []
        self._fails_on = fails_on
        self._lock = threading.Lock()

    def compile(self, sources: list[str], **settings: Any) -> list[str]:
        with self._lock:
            self.given.append((sources, settings))
        if self._fails_on in sources:
            raise ValueError(f"cannot compile {sources}")
        return [f"{source}.o" for source in sources]


class Build(OptionalBuild):  # type: ignore[misc]
    """Compiles with that compiler, and links nothing."""

    def __init__(self, compiler: Compiler, sources: list[str]) -> None:
        super().__init__(Distribution())
        self.compiler = compiler
        self.extensions = [Extension("library", sources)]
        self.linked: list[str] = []

    def build_extension(self, extension: Extension) -> None:
        self.linked += self.compiler.compile(
            [str(source) for source in extension.sources], extra_postargs=["-w"]
        )


def written(folder: Path, **sizes: int) -> list[str]:
    paths = [folder / f"{name}.c" for name in sizes]
    for path, size in zip(paths, sizes.values(), strict=True):
        path.write_bytes(b" " * size)
    return [str(path) for path in paths]


def test_each_source_is_compiled_once_with_the_settings_of_all(tmp_path: Path) -> None:
    compiler = Compiler()
    sources = written(tmp_path, a=1, b=3, c=2)
    build = Build(compiler, sources)
    build.build_extensions()
    assert build.linked == [f"{source}.o" for source in sources]
    assert sorted(given for given, _ in compiler.given) == [[source] for source in sources]
    assert all(settings == {"extra_postargs": ["-w"]} for _, settings in compiler.given)


def test_nothing_is_linked_where_one_part_cannot_be_compiled(tmp_path: Path) -> None:
    sources = written(tmp_path, a=1, b=3, c=2)
    build = Build(Compiler(fails_on=sources[1]), sources)
    with pytest.raises(ValueError, match="cannot compile"):
        build.build_extensions()
    assert build.linked == []


def test_parts_hold_each_source_once_and_neighbours_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("build").mkdir()
    half = PART_BYTES // 2
    sources = written(tmp_path, a=half, b=half, c=1, d=PART_BYTES * 2, e=1)
    parts = [Path(part).read_text().split("\n")[:-1] for part in SETUP["_parts"](sources)]
    a, b, c, d, e = (f'#include "{source}"' for source in sources)
    assert parts == [[a, b], [c], [d], [e]]


def test_a_part_that_stays_the_same_is_not_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("build").mkdir()
    sources = written(tmp_path, a=1)
    [part] = SETUP["_parts"](sources)
    before = Path(part).stat().st_mtime_ns
    assert SETUP["_parts"](sources) == [part]
    assert Path(part).stat().st_mtime_ns == before


def test_modules_of_the_same_last_name_have_entries_of_their_own() -> None:
    first, second = (
        SETUP["_entry"](Extension(name, [f"build/{name}.c"]))
        for name in ("penstock.wire.http1", "penstock.dataplane.client.http1")
    )
    assert "#define PyInit_http1 PyInit_penstock___wire___http1\n" in first
    assert "#define PyInit_http1 PyInit_penstock___dataplane___client___http1\n" in second
    assert first.endswith("#undef PyInit_http1\n#undef PyInit___init__")


def test_what_mypyc_refuses_is_installed_as_source(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_: Extension) -> None:
        raise SystemExit("no such type")

    monkeypatch.setitem(OptionalBuild.run.__globals__, "generate", refuse)
    monkeypatch.delenv("PENSTOCK_REQUIRE_COMPILED", raising=False)
    build = Build(Compiler(), [])
    build.run()
    assert build.extensions == []
    assert "not compiled, will run interpreted: no such type" in capsys.readouterr().err


def test_module_written_in_c_is_none_of_mypycs(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[str] = []
    monkeypatch.setitem(
        OptionalBuild.run.__globals__, "generate", lambda library: given.append(library.name)
    )
    monkeypatch.setattr(SETUP["build_ext"], "run", lambda _: None)
    build = Build(Compiler(), [])
    build.extensions += [Extension(name, ["a.c"], optional=True) for name in SETUP["IN_C"]]
    build.run()
    assert given == ["library"]
