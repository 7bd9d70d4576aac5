"""From the document to the snapshot: users and their passwords."""

from importlib.util import find_spec

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
        users = read_users(file.read_text("utf-8"))
        if not users:
            findings.wrong(here, f"{file} has no users: `htpasswd -B {file} NAME` adds one")
    except OSError as error:
        findings.wrong(here, f"{file} cannot be read: {error.strerror}")
    except UnicodeDecodeError:
        findings.wrong(here, f"{file} is not text")
    except ValueError as error:
        findings.wrong(here, f"{file}: {error}")
    if needs_bcrypt(users) and find_spec("bcrypt") is None:
        findings.wrong(
            here, "the library for it is missing: `pip install 'penstock-lb[passwords]'`"
        )
    return snapshot.BasicAuth(users, section.realm, section.user_header or "")
