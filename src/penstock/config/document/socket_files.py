"""How sockets of the file system and their permissions are written."""

import re
from typing import Annotated, Final

from pydantic import PlainSerializer, PlainValidator

from penstock.core.snapshot.address import SOCKET_FILE

_EXAMPLE: Final = f"{SOCKET_FILE}/run/app.sock"
# sun_path of unix(7) has 108, with the zero at the end; some go to the name that a socket has
# before it is renamed (control/workers/socket_files.py).
_MOST_PATH_BYTES: Final = 90


def parse_socket_file(value: str) -> str:
    """``unix:/path``, of an absolute path that the kernel takes. Raises ValueError."""
    path = value.removeprefix(SOCKET_FILE)
    if path.startswith("//"):
        raise ValueError(f"{value}: write {SOCKET_FILE}/{path.lstrip('/')}")
    if not path.startswith("/") or path.endswith("/"):
        raise ValueError(f"{value}: the absolute path of a file is needed, as in {_EXAMPLE}")
    if not path.isprintable():
        raise ValueError(f"{value!r} has characters that cannot be printed")
    if len(path.encode()) > _MOST_PATH_BYTES:
        raise ValueError(f"{value}: sockets have paths of up to {_MOST_PATH_BYTES} bytes")
    return value


def parse_mode(value: object) -> int:
    """Permissions, in octal digits and as text: YAML reads 0660 as another number.

    Raises ValueError.
    """
    if isinstance(value, str) and re.fullmatch("0?[0-7]{3}", value):
        return int(value, 8)
    raise ValueError(f'permissions in quotes are needed, such as "0660", not {value!r}')


def _spell_mode(value: int) -> str:
    return f"{value:04o}"


FileMode = Annotated[
    int,
    PlainValidator(parse_mode, json_schema_input_type=str),
    PlainSerializer(_spell_mode, return_type=str),
]
