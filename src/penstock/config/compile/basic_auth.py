"""From the document to the snapshot: users and their passwords."""

from importlib.util import find_spec
from pathlib import Path

from penstock.config.document.forward_auth import BasicAuth
from penstock.config.load.errors import Location
from penstock.config.load.findings import Findings
from penstock.core import snapshot
from penstock.wire.htpasswd import needs_bcrypt, read_users


def compile_basic_auth(
    section: BasicAuth | None, at: Location, findings: Findings
) -> snapshot.BasicAuth | None:
    """With the users of its file. What is wrong with that is noted in ``findings``."""
    if section is None:
        return None
    here = (*at, "basic_auth")
    file = findings.path(section.file)
    users: dict[str, str] = {}
    try:
        users = users_of(file)
    except OSError as error:
        findings.wrong(here, f"{file} cannot be read: {error.strerror}")
    except ValueError as error:
        findings.wrong(here, f"{file}: {error}")
    header = section.user_header or ""
    return snapshot.BasicAuth(users, section.realm, header, str(file))


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
