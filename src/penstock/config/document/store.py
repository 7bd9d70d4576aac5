"""The document's part about the store that several balancers share."""

from typing import Any, Literal

from pydantic import SecretStr

from penstock.config.document.section import Section, required, setting
from penstock.config.document.values import Flag, Name


class Store(Section):
    """A Valkey or Redis server (7.0 or newer) through which balancers know of each other. A plain
    text stands for `url`."""

    url: SecretStr = required(
        "`redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]`, `rediss://…` over TLS. "
        "`redis+sentinel://HOST,HOST/NAME` asks Sentinels for the server of that name, "
        "`redis+cluster://HOST,HOST` is a cluster. `valkey` may stand for `redis`."
    )
    cluster: Name = setting(
        "main",
        "Balancers that say the same share what they know. All names there begin "
        "`penstock:CLUSTER:v1:`.",
    )
    password_file: str | None = setting(None, "A file that holds the password.")
    ca_file: str | None = setting(
        None, "The authorities that its certificate may be of. Default: the system's."
    )
    certificate: str | None = setting(None, "A client's certificate, for servers that ask for one.")
    key: str | None = setting(None, "Its private key. Default: in the same file.")
    limits_when_gone: Literal["share", "refuse"] = setting(
        "share",
        "What limits and budgets give out while the store is gone, or says nothing for 5 ms, after "
        "what this balancer holds of them: its share, which is what there was by the number of "
        "balancers seen last, or nothing (429).",
    )
    secrets_key_file: str | None = setting(
        None,
        "A file with a secret, the same for all balancers, under which private keys and the like "
        "are encrypted before the store has them; of several lines the first encrypts and all "
        "decrypt. `openssl rand -hex 32` makes one. Without it each balancer keeps its own.",
    )
    tenants: Flag = setting(
        False,
        "Whether files of `tenants_directory` are the same at all balancers: what is written, "
        "changed or removed there at one is so at all within a second. Needs `secrets_key_file`.",
    )


def store_section(value: Any) -> Any:
    """The mapping that a plain text stands for."""
    return {"url": value} if isinstance(value, str) else value
