"""Changes to headers, as the document writes them."""

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, model_validator

from penstock.config.document.addresses import parse_authority
from penstock.config.document.section import Section, setting
from penstock.config.document.values import FieldValue, OneOrMany, Token
from penstock.core import snapshot

# Written by the balancer from what it knows of the connection (RFC 9110, 7.6.1; RFC 9112, 6).
_FRAMING = frozenset(
    ["connection", "content-length", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"]
)


def _not_framing(name: str) -> str:
    if name.lower() == "x-request-id":
        raise ValueError(f"{name} is made by Penstock, or continued from trusted_proxies")
    if name.lower() in _FRAMING:
        raise ValueError(f"{name} belongs to the connection and cannot be edited")
    return name


EditedName = Annotated[Token, AfterValidator(_not_framing)]
Values = OneOrMany[FieldValue]


class HeaderEdits(Section):
    """Headers to remove, then to set, then to add."""

    remove: OneOrMany[EditedName] = setting((), "Names of headers to remove.")
    set: dict[EditedName, FieldValue] = setting({}, "Headers to replace, or to add where missing.")
    add: dict[EditedName, Values] = setting(
        {}, "Headers to add, also where the name is already there; a list adds several."
    )

    @model_validator(mode="after")
    def _valid_host(self) -> "HeaderEdits":
        """Host names where a request goes, so nothing else may stand there (RFC 9110, 7.2)."""
        given = [*self.set.items(), *((k, v) for k, values in self.add.items() for v in values)]
        for name, value in given:
            if name.lower() == "host":
                parse_authority(value)
        return self

    def edits(self) -> tuple[snapshot.HeaderEdit, ...]:
        """As the snapshot has them."""
        removals = [snapshot.HeaderEdit("remove", name) for name in self.remove]
        settings = [snapshot.HeaderEdit("set", name, value) for name, value in self.set.items()]
        additions = [
            snapshot.HeaderEdit("add", name, value)
            for name, values in self.add.items()
            for value in values
        ]
        return (*removals, *settings, *additions)


def _steps(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


Edits = Annotated[
    tuple[HeaderEdits, ...],
    BeforeValidator(_steps, json_schema_input_type=HeaderEdits | list[HeaderEdits]),
]


def compiled_edits(steps: tuple[HeaderEdits, ...]) -> tuple[snapshot.HeaderEdit, ...]:
    """All edits of several steps, in order."""
    return tuple(edit for step in steps for edit in step.edits())
