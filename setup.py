"""Compiles the hot layers with mypyc where a C compiler is found, else installs them as source."""

import gc
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

# Left interpreted: plain data on msgspec's own metaclass, which mypyc cannot compile; and
# the entry point, since ``python -m`` runs source only.
INTERPRETED = (
    "src/penstock/core/snapshot/",
    "src/penstock/dataplane/worker/__main__.py",
    "src/penstock/wire/engines/",
    "src/penstock/wire/openai_bodies.py",
    "src/penstock/wire/resume/told.py",
    "src/penstock/wire/sglang_bodies.py",
)
GROUP = "penstock"
LIBRARY = f"{GROUP}__mypyc"  # as mypyc names it, and ``penstock._form`` looks for it
# Written in C, and not needed: see docs/adr/datagrams-in-batches.md, stream-sockets.md and
# bodies-read-at-once.md.
IN_C = (
    "penstock._answers",
    "penstock._datagrams",
    "penstock._poller",
    "penstock._prefixes",
    "penstock._prompts",
    "penstock._streams",
)
GENERATED = Path("build")
HOT_LAYERS = ("core", "wire", "dataplane", "sim/kernel")
# The model of an inference engine: every emulated token passes through it.
HOT_MODULES = (
    "src/penstock/sim/engine_timing.py",
    "src/penstock/sim/inference.py",
    "src/penstock/sim/kv_cache.py",
    "src/penstock/sim/sequence.py",
)
# Of generated C that is compiled at once, in about 200 MB. Each part reads 1 MB of headers again.
PART_BYTES = 1_500_000


def hot_sources() -> list[str]:
    """Every module of the hot layers, as mypyc wants them named."""
    found: list[str] = [*HOT_MODULES]
    for layer in HOT_LAYERS:
        for path in sorted(Path("src/penstock", layer).rglob("*.py")):
            name = path.as_posix()
            if path.name not in ("__init__.py", "__main__.py") and not name.startswith(INTERPRETED):
                found.append(name)
    return found


class OptionalBuild(build_ext):
    """A failed compilation leaves a working, slower Penstock, and says so."""

    def run(self) -> None:
        try:
            for library in self.extensions:
                if library.name not in IN_C:
                    generate(library)
            super().run()
        except (Exception, SystemExit) as error:  # mypyc exits where it finds an error
            if os.environ.get("PENSTOCK_REQUIRE_COMPILED") == "1":
                raise
            print(f"penstock: not compiled, will run interpreted: {error}", file=sys.stderr)
            self.extensions: list[Extension] = []

    def build_extensions(self) -> None:
        """The parts of the library beside each other, one for each core."""
        self.compiler: Any
        compile_some = self.compiler.compile

        def compile_all(sources: list[str], **settings: Any) -> list[str]:
            with ThreadPoolExecutor(_cores()) as pool:
                compiled = pool.map(lambda source: compile_some([source], **settings), sources)
                return [name for names in compiled for name in names]

        self.compiler.compile = compile_all
        super().build_extensions()

    def copy_extensions_to_source(self) -> None:
        """In place of setuptools': whole files only, so that nobody meets half a library."""
        build_py = self.get_finalized_command("build_py")
        for extension in self.extensions:
            in_place, built = self._get_inplace_equivalent(build_py, extension)  # type: ignore[attr-defined]
            if extension.optional and not os.path.exists(built):
                continue
            self.copy_file(built, f"{in_place}.new", level=self.verbose)
            os.replace(f"{in_place}.new", in_place)


def extensions() -> list[Extension]:
    """The library of all compiled modules, or nothing where that cannot be or is not wanted.

    Without its sources: pip runs this file three times for a wheel, and mypyc is to run once.
    """
    if os.environ.get("PENSTOCK_PURE") == "1":
        return []
    if not any(shutil.which(compiler) for compiler in (os.environ.get("CC", "cc"), "gcc", "clang")):
        print("penstock: no C compiler found, will run interpreted", file=sys.stderr)
        return []
    library = Extension(LIBRARY, [])
    if not sys.platform.startswith("linux"):  # recvmmsg, MSG_DONTWAIT
        return [library]
    return [library, *(_in_c(name) for name in IN_C)]


def _in_c(name: str) -> Extension:
    optional = os.environ.get("PENSTOCK_REQUIRE_COMPILED") != "1"
    headers = sorted(path.as_posix() for path in Path("src/penstock").glob("*.h"))
    source = f"src/{name.replace('.', '/')}.c"
    return Extension(name, [source], depends=headers, optional=optional)


def generate(library: Extension) -> None:
    """Have mypyc write the C of that library."""
    from mypyc.build import mypycify

    sys.path.insert(0, "src")
    os.environ.setdefault("MYPYPATH", "src")
    options = ["--strict", "--explicit-package-bases", "--python-version", "3.11"]
    gc.disable()  # mypyc makes little garbage, and looking for it takes time
    generated = mypycify(
        [*options, *hot_sources()],
        opt_level="2",  # see docs/adr/one-compiled-library.md
        debug_level="0",
        group_name=GROUP,
        multi_file=True,
        target_dir=str(GENERATED),
    )
    gc.enable()
    fill(library, generated)


def fill(library: Extension, generated: Sequence[Any]) -> None:
    """Give the library its sources, with the entries of its modules inside.

    mypyc makes an extension module of each entry, 214 files to compile and link. Here each has a
    name of its own in the library, by which ``penstock._form`` finds it.
    """
    [common] = [each for each in generated if each.name == LIBRARY]
    modules = [each for each in generated if each.name != LIBRARY]
    library.include_dirs = common.include_dirs
    library.depends = [*common.depends, *common.sources]
    library.sources = [
        *_parts(common.sources),
        _written(GENERATED / "modules.c", (_entry(module) for module in modules)),
    ]
    library.extra_compile_args = list(common.extra_compile_args)
    if sys.platform != "win32":
        library.extra_compile_args += [
            # Only Python's entries are called from outside: calls between modules are direct.
            "-fvisibility=hidden",
            # Looking for warnings in generated code, which nobody reads, took 100 s of 190; -w
            # alone hides what is found and looks all the same.
            *("-w", "-Wno-all"),
        ]


def _parts(sources: list[str]) -> list[str]:
    """Neighbours together in files of about ``PART_BYTES``."""
    parts: list[list[str]] = [[]]
    in_part_bytes = 0
    for source in sorted(sources):
        if parts[-1] and in_part_bytes + _size(source) > PART_BYTES:
            parts.append([])
            in_part_bytes = 0
        parts[-1].append(f'#include "{Path(source).resolve()}"')
        in_part_bytes += _size(source)
    return [_written(GENERATED / f"part{i}.c", part) for i, part in enumerate(parts)]


def _entry(module: Any) -> str:
    """How Python enters a module: mypyc's code for it, with the module's whole name in its own."""
    [source] = module.sources
    last_name = module.name.rpartition(".")[2]
    whole_name = module.name.replace(".", "___")
    return (
        f"#define PyInit_{last_name} PyInit_{whole_name}\n"
        f"#define PyInit___init__ PyInit_{whole_name}_\n"
        f'#include "{Path(source).resolve()}"\n'
        f"#undef PyInit_{last_name}\n"
        "#undef PyInit___init__"
    )


def _written(path: Path, lines: Iterable[str]) -> str:
    text = "\n".join(lines) + "\n"
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
    return str(path)


def _size(source: str) -> int:
    return os.stat(source).st_size


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


if __name__ == "__main__":
    setup(ext_modules=extensions(), cmdclass={"build_ext": OptionalBuild})
