"""Which form of the hot layers runs: compiled by mypyc, or the same source interpreted."""

import os
import sys
from collections.abc import Sequence
from importlib.machinery import ExtensionFileLoader, ModuleSpec, PathFinder
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType

COMPILED_LAYERS = (
    "penstock.core.",
    "penstock.wire.",
    "penstock.dataplane.",
    "penstock.sim.",
)
COMPILED_LIBRARY = "penstock__mypyc"  # as mypyc names that of the group in ``setup.py``
_SOURCE_ROOT = Path(__file__).parent


def form() -> str:
    """``"compiled"`` when the hot layers run as machine code, else ``"interpreted"``."""
    import penstock.core.env as probe  # a module that imports nothing of ours

    return "interpreted" if str(probe.__file__).endswith(".py") else "compiled"


def choose_form() -> None:
    """Decide once for this process: all hot layers compiled, or all of them from source.

    From source with ``PENSTOCK_PURE=1`` in the environment, and where there is no library of the
    compiled modules. They are all in one file, so a process never mixes the two forms.
    """
    if os.environ.get("PENSTOCK_PURE") == "1":
        return
    library = PathFinder.find_spec(COMPILED_LIBRARY, [str(_SOURCE_ROOT.parent)])
    if library is not None and not any(
        isinstance(each, _CompiledModules) for each in sys.meta_path
    ):
        sys.meta_path.insert(0, _CompiledModules(library))


class _CompiledModules:
    """Finds the modules that are in the library, before the source of each.

    A finder and a loader by what it can, not by inheritance: ``importlib.abc`` imports 30 modules.
    """

    def __init__(self, library: ModuleSpec) -> None:
        self._spec = library
        self._library: ModuleType | None = None

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not name.startswith(COMPILED_LAYERS):
            return None
        if self._library is None:
            self._library = self._load()
        # What the library has for a module is named by mypyc: ``exec_`` where there is no GIL.
        flat = _flat(name)
        if hasattr(self._library, f"init_{flat}") or hasattr(self._library, f"exec_{flat}"):
            return ModuleSpec(name, self, origin=self._spec.origin)  # type: ignore[arg-type]
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """As PEP 489 has it under "Multiple modules in one library"."""
        flat = _flat(spec.name)
        loader = ExtensionFileLoader(flat, str(spec.origin))
        module = loader.create_module(ModuleSpec(flat, loader, origin=spec.origin))
        loader.exec_module(module)
        sys.modules.pop(flat, None)
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Done where it was made."""

    def _load(self) -> ModuleType:
        """The library itself: what its modules have in common."""
        library = module_from_spec(self._spec)
        sys.modules[self._spec.name] = library
        assert self._spec.loader is not None
        self._spec.loader.exec_module(library)
        return library


def _flat(name: str) -> str:
    """The name in C, as mypyc and ``setup.py`` have it."""
    return name.replace(".", "___")
