"""The document's part about the admin address."""

from typing import Any, Final

from pydantic import SecretStr

from penstock.config.document.addresses import Address
from penstock.config.document.section import Section, required, setting
from penstock.config.document.values import ListenAddress

DEFAULT_ADMIN: Final = Address("127.0.0.1", 9900)


class AdminTls(Section):
    """TLS at the admin address."""

    certificate: str = required("PEM file with the certificate and its intermediates.")
    key: str = required("PEM file with the private key, unencrypted.")


class Admin(Section):
    """The address for the dashboard, metrics, status and `penstock ctl`. A plain text stands for
    `address`."""

    address: ListenAddress = setting(
        DEFAULT_ADMIN,
        "`host:port`, or `unix:/path` for a socket that its owner alone reaches.",
    )
    token: SecretStr | None = setting(
        None,
        "Bearer token that callers must send. Required when the address is reachable by others.",
    )
    token_file: str | None = setting(None, "A file that holds the token, instead of `token`.")
    read_token: SecretStr | None = setting(
        None, "Another token, for those who may look and change nothing."
    )
    read_token_file: str | None = setting(
        None, "A file that holds that token, instead of `read_token`."
    )
    tls: AdminTls | None = setting(
        None, "Speak HTTPS there, so that no token crosses a network in clear."
    )


def admin_of(value: Any) -> Any:
    """``off``, an address, or a section."""
    if value == "off" or value is False:
        return None
    return {"address": value} if isinstance(value, str) else value
