"""Environment variables in the document: ``${NAME}`` and ``${NAME:-default}``."""

import re
from collections.abc import Mapping
from typing import Final

from penstock.config.load.errors import did_you_mean

_REFERENCE: Final = re.compile(
    r"(?P<escaped>\$\$\{)|\$\{(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}|(?P<bad>))"
)


def interpolate(text: str, environ: Mapping[str, str]) -> str:
    """``text`` with its references replaced; ``$${`` stands for a literal ``${``.

    The default applies when the variable is unset or empty, as in a shell. Raises ValueError
    when a variable without a default is unset, or a reference is malformed.
    """
    if "${" not in text:
        return text

    def value_of(found: re.Match[str]) -> str:
        if found["escaped"]:
            return "${"
        name, default = found["name"], found["default"]
        if name is None:
            raise ValueError("write ${NAME} or ${NAME:-default}, and $${ for a literal ${")
        value = environ.get(name, "")
        if value or (default is None and name in environ):
            return value
        if default is None:
            hint = did_you_mean(name, environ)
            raise ValueError(f"the environment variable {name} is not set{hint}")
        return default

    return _REFERENCE.sub(value_of, text)
