"""Which form of the hot layers runs: compiled by mypyc, or the same source interpreted."""

import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

COMPILED_LAYERS = (
    "penstock.core.",
    "penstock.wire.",
    "penstock.dataplane.",
    "penstock.sim.kernel.",
    "penstock.sim.engine_timing",
    "penstock.sim.inference",
    "penstock.sim.kv_cache",
    "penstock.sim.sequence",
)
COMPILED_LIBRARY = "penstock__mypyc"  # as mypyc names that of the group in ``setup.py``
_SOURCE_ROOT = Path(__file__).parent


def form() -> str:
    """``"compiled"`` when the hot layers run as machine code, else ``"interpreted"``."""
    import penstock.core.env as probe  # a module that imports nothing of ours

    return "interpreted" if str(probe.__file__).endswith(".py") else "compiled"


def choose_form() -> None:
    """Decide once for this process: all hot layers compiled, or all of them from source.

    From source with ``PENSTOCK_PURE=1`` in the environment, and where the library that all compiled
    modules share is not there. A build puts it in place last and removes it first (``setup.py``),
    so a process that starts beside the compiler never mixes the two forms.
    """
    compiled = PathFinder.find_spec(COMPILED_LIBRARY, [str(_SOURCE_ROOT.parent)]) is not None
    if (os.environ.get("PENSTOCK_PURE") == "1" or not compiled) and not any(
        isinstance(finder, _SourceFinder) for finder in sys.meta_path
    ):
        sys.meta_path.insert(0, _SourceFinder())


class _SourceFinder(MetaPathFinder):
    """Finds the ``.py`` of a hot module although a compiled one lies beside it."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not name.startswith(COMPILED_LAYERS):
            return None
        file = _SOURCE_ROOT.joinpath(*name.split(".")[1:])
        if file.is_dir():
            return PathFinder.find_spec(name, path)
        source = file.with_suffix(".py")
        if not source.exists():
            return None
        return spec_from_file_location(name, source, loader=SourceFileLoader(name, str(source)))
