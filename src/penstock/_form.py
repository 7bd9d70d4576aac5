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
_SOURCE_ROOT = Path(__file__).parent


def form() -> str:
    """``"compiled"`` when the hot layers run as machine code, else ``"interpreted"``."""
    import penstock.core.endpoint as probe

    return "interpreted" if str(probe.__file__).endswith(".py") else "compiled"


def load_pure_if_asked() -> None:
    """With ``PENSTOCK_PURE=1`` in the environment, load the hot layers from source."""
    if os.environ.get("PENSTOCK_PURE") == "1" and not any(
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
