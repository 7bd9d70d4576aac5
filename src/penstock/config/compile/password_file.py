"""Files of users and their passwords, as ``htpasswd`` writes them."""

from importlib.util import find_spec
from pathlib import Path

from penstock.wire.htpasswd import needs_bcrypt, read_users


def users_of(file: Path) -> dict[str, str]:
    """Hashes by the names of users. Raises OSError, and ValueError for what is wrong there."""
    try:
        users = read_users(file.read_text("utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError("it is not text") from error
    if not users:
        raise ValueError(f"it has no users: `htpasswd -B {file} NAME` adds one")
    if needs_bcrypt(users) and find_spec("bcrypt") is None:
        raise ValueError("the library for it is missing: `pip install 'penstock-lb[passwords]'`")
    return users
