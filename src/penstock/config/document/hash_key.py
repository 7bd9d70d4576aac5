"""The document's part about what hashing policies hash."""

from typing import Annotated, Any

from pydantic import BeforeValidator, model_validator

from penstock.config.document.section import Section, required, setting
from penstock.config.document.show import show
from penstock.config.document.values import Count, Flag, OneOrMany, PositiveCount, Token
from penstock.core import snapshot


class HashedBytes(Section):
    """Where a token stands in datagrams. One that is too short is hashed by its source."""

    offset: Count = setting(0, "How many bytes stand before it.")
    length: PositiveCount = required("How many bytes it has.")


class HashKey(Section):
    """What hashing policies hash by: `source`, `source_port`, `path`, or one of these."""

    source: Flag = setting(False, "The client's address.")
    source_port: Flag = setting(False, "The client's address and port, of UDP.")
    bytes: HashedBytes | None = setting(
        None, "Bytes of a UDP session's first datagram, such as a token."
    )
    path: Flag = setting(False, "The path of the request.")
    header: OneOrMany[Token] = setting(
        (), "A request header, or several: the first one present is used."
    )
    cookie: Token | None = setting(None, "A cookie.")
    query: str | None = setting(None, "A query parameter.")

    @model_validator(mode="after")
    def _exactly_one(self) -> "HashKey":
        if len([value for value in self._parts().values() if value]) != 1:
            raise ValueError(
                "give exactly one of `source`, `source_port`, `bytes`, `path`, `header`, `cookie`, "
                "`query`"
            )
        return self

    def _parts(self) -> dict[str, object]:
        return {
            "source": self.source,
            "source_port": self.source_port,
            "bytes": self.bytes,
            "path": self.path,
            "header": self.header,
            "cookie": self.cookie,
            "query": self.query,
        }

    def compiled(self) -> snapshot.HashKey:
        """As the snapshot has it; names of headers are lower case."""
        if self.header:
            return snapshot.HashKey("header", tuple(name.lower() for name in self.header))
        if self.cookie:
            return snapshot.HashKey("cookie", (self.cookie,))
        if self.query:
            return snapshot.HashKey("query", (self.query,))
        if self.bytes:
            return snapshot.HashKey("bytes", offset=self.bytes.offset, length=self.bytes.length)
        if self.source_port:
            return snapshot.HashKey("source_port")
        return snapshot.HashKey("path" if self.path else "source")


def _hash_key(value: Any) -> Any:
    if value in ("source", "source_port", "path"):
        return {value: True}
    if isinstance(value, str):
        raise ValueError(
            "`source`, `source_port`, `path` or a mapping such as {header: X-User} is needed, not "
            f"{show(value)}"
        )
    return value


HashKeyOrName = Annotated[HashKey, BeforeValidator(_hash_key, json_schema_input_type=str | HashKey)]
