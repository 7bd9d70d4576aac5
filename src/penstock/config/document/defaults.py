"""Defaults that are asked for where no document is read."""

from typing import Final

DEFAULT_UPGRADE_DEADLINE_S: Final = 600.0
