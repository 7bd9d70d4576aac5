"""From the document to the snapshot: users and their passwords."""

from penstock.config.compile.password_file import users_of
from penstock.config.document.forward_auth import BasicAuth
from penstock.config.load.errors import Location
from penstock.config.load.findings import Findings
from penstock.core import snapshot


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
