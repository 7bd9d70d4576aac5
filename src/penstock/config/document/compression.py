"""The document's part about compressing answers."""

import re
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, PlainValidator

from penstock.config.document.section import Section, plain, setting
from penstock.config.document.show import show
from penstock.config.document.values import Flag, OneOrMany, Size
from penstock.core import snapshot
from penstock.dataplane.route.compression import STREAMED

_COMPRESSION: Final = snapshot.Compression()
_TYPE: Final = re.compile(r"[a-z0-9!#$&^_.+-]+/(\*|[a-z0-9!#$&^_.+-]+)")


def parse_media_type(value: object) -> str:
    """A media type in lower case, or all of a kind: ``text/*``. Raises ValueError."""
    text = str(value).lower()
    if text in STREAMED or text.startswith("application/grpc"):
        raise ValueError(f"{text} is a stream, which is never compressed")
    if not _TYPE.fullmatch(text):
        raise ValueError(f"a media type such as text/html or text/* is needed, not {show(value)}")
    return text


_MediaType = Annotated[str, PlainValidator(parse_media_type, json_schema_input_type=str)]


class Compression(Section):
    """Which answers are compressed for clients that accept it. `on` stands for the defaults."""

    codings: OneOrMany[Literal["zstd", "gzip"]] = setting(
        _COMPRESSION.codings,
        "Content codings, the one preferred first where a client likes several alike. `[]`: none.",
    )
    types: OneOrMany[_MediaType] = setting(
        _COMPRESSION.types, "Media types of answers, or all of a kind: `text/*`."
    )
    minimum_size: Size = setting(
        _COMPRESSION.minimum_size,
        "Shorter answers pass as they are. Of one that does not tell its length, so much must come "
        "along with its head.",
    )
    private: Flag = setting(
        _COMPRESSION.private,
        "Also compress answers to requests with `Cookie` or `Authorization`, and those that set "
        "cookies. From the length of such a page its secrets can be guessed where others choose a "
        "part of it (BREACH): turn it on where no page holds both.",
    )

    def compiled(self) -> snapshot.Compression:
        """As the snapshot has it."""
        return plain(snapshot.Compression, self)


def _on_or_off(value: Any) -> Any:
    if value is True or value == "on":
        return {}
    if value is False or value == "off":
        return {"codings": []}
    return value


CompressionOrOff = Annotated[
    Compression | None,
    BeforeValidator(_on_or_off, json_schema_input_type=Literal["on", "off"] | Compression | None),
]
