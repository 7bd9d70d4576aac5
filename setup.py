"""Compiles the hot layers with mypyc where a C compiler is found, else installs them as source."""

import os
import shutil
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

# Left interpreted: plain data on msgspec's own metaclass, which mypyc cannot compile; and
# the entry point, since ``python -m`` runs source only.
INTERPRETED = (
    "src/penstock/core/snapshot/",
    "src/penstock/dataplane/worker/__main__.py",
    "src/penstock/wire/engines/",
    "src/penstock/wire/openai_bodies.py",
)
GROUP = "penstock"
LIBRARY = f"{GROUP}__mypyc"
HOT_LAYERS = ("core", "wire", "dataplane", "sim/kernel")
# The model of an inference engine: every emulated token passes through it.
HOT_MODULES = (
    "src/penstock/sim/engine_timing.py",
    "src/penstock/sim/inference.py",
    "src/penstock/sim/kv_cache.py",
    "src/penstock/sim/sequence.py",
)


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
            super().run()
        except Exception as error:
            if os.environ.get("PENSTOCK_REQUIRE_COMPILED") == "1":
                raise
            print(f"penstock: not compiled, will run interpreted: {error}", file=sys.stderr)
            self.extensions: list[Extension] = []

    def copy_extensions_to_source(self) -> None:
        """In place of setuptools': whole files only, and the library that all share last.

        Without it Penstock runs from source (``penstock._form``), so nobody meets half a build.
        """
        build_py = self.get_finalized_command("build_py")
        for extension in sorted(self.extensions, key=lambda each: each.name == LIBRARY):
            in_place, built = self._get_inplace_equivalent(build_py, extension)  # type: ignore[attr-defined]
            self.copy_file(built, f"{in_place}.new", level=self.verbose)
            os.replace(f"{in_place}.new", in_place)


def extensions() -> list[Extension]:
    """The compiled modules, or none where that cannot be or is not wanted."""
    if os.environ.get("PENSTOCK_PURE") == "1":
        return []
    if not any(shutil.which(compiler) for compiler in (os.environ.get("CC", "cc"), "gcc", "clang")):
        print("penstock: no C compiler found, will run interpreted", file=sys.stderr)
        return []
    from mypyc.build import mypycify

    sys.path.insert(0, "src")
    os.environ.setdefault("MYPYPATH", "src")
    options = ["--strict", "--explicit-package-bases", "--python-version", "3.11"]
    # -O3 takes longer to compile and gains nothing that `make bench` can tell.
    compiled = mypycify(
        [*options, *hot_sources()], opt_level="2", debug_level="0", group_name=GROUP
    )
    modules = [module for module in compiled if isinstance(module, Extension)]
    if sys.platform != "win32":
        for module in modules:
            # Looking for warnings in generated code, which nobody reads, took 100 s of 190; -w
            # alone hides what is found and looks all the same.
            module.extra_compile_args = [*module.extra_compile_args, "-w", "-Wno-all"]
    return modules


if __name__ == "__main__":
    setup(ext_modules=extensions(), cmdclass={"build_ext": OptionalBuild})
