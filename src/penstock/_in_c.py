"""Our modules that are written in C, each of which can be missing."""

import os
from importlib import import_module
from typing import Any


def in_c(name: str) -> Any:
    """Our C module of that name; None where it was not built or is not wanted."""
    if os.environ.get("PENSTOCK_PURE") == "1":
        return None
    try:
        return import_module(f"penstock.{name}")
    except ImportError:
        return None
