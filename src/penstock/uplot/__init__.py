"""uPlot, as its npm package has it: the dashboard and the reports draw with this one copy."""

from importlib.resources import files
from typing import Final

SCRIPT: Final = "uPlot.iife.min.js"
STYLE: Final = "uPlot.min.css"
LICENSE: Final = "uPlot.LICENSE.txt"


def uplot_file(name: str) -> bytes:
    """The content of one of its three files."""
    return files(__package__).joinpath(name).read_bytes()
