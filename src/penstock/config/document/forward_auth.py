"""The document's part about who may ask of a site: by a service, or by passwords."""

from typing import Final

from penstock.config.document.headers import EditedName
from penstock.config.document.section import Section, plain, required, setting
from penstock.config.document.values import (
    Duration,
    FieldValue,
    OneOrMany,
    PositiveDuration,
    RequestPath,
)
from penstock.core import snapshot

_BASIC: Final = snapshot.BasicAuth({})
_AUTH: Final = snapshot.ForwardAuth(pool="")


class ForwardAuth(Section):
    """A service is asked first, with the request's own head: its 2xx lets the request go on, any
    other answer below 500 goes to the client instead."""

    pool: str = required("Name of the pool that serves it.")
    path: RequestPath = setting(_AUTH.path, "The path that is asked there, by GET.")
    pass_headers: OneOrMany[EditedName] = setting(
        _AUTH.pass_headers,
        "Headers of its answer that the endpoint gets. Clients cannot send them.",
    )
    tenant_header: EditedName | None = setting(
        None, "Header of its answer that names the tenant that asks, one of `tenants`."
    )
    user_header: EditedName | None = setting(
        None, "Header of its answer that says what the holder is called in logs and limits."
    )
    timeout: PositiveDuration = setting(_AUTH.timeout_s, "How long it may take.")
    cache: Duration = setting(
        _AUTH.cache_s, "How long an answer counts for requests with the same head. `off`: for one."
    )

    def compiled(self) -> snapshot.ForwardAuth:
        """As the snapshot has it."""
        return plain(
            snapshot.ForwardAuth,
            self,
            tenant_header=self.tenant_header or "",
            user_header=self.user_header or "",
        )


class BasicAuth(Section):
    """Clients show a user and a password, which a file of `htpasswd` has. A plain text stands for
    `file`."""

    file: str = required(
        "The file: `htpasswd -B` adds a user. What changes there counts within a second."
    )
    realm: FieldValue = setting(_BASIC.realm, "What browsers call it.")
    user_header: EditedName | None = setting(
        None, "Header that tells the endpoint who the user is. Clients cannot send it."
    )
