"""The document's part about which requests a route is for."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, model_validator

from penstock.config.document.listeners import ServerName
from penstock.config.document.section import Section, setting
from penstock.config.document.values import (
    FieldValue,
    Flag,
    Network,
    OneOrMany,
    Regex,
    RulePath,
    Token,
    parse_token,
)
from penstock.core import snapshot


class HeaderCondition(Section):
    """A condition on a request header; a plain text stands for `exact`."""

    exact: FieldValue | None = setting(None, "The whole value.")
    prefix: FieldValue | None = setting(None, "What the value begins with.")
    regex: Regex | None = setting(None, "A regular expression that matches the whole value.")
    present: Flag | None = setting(None, "Whether the header is there at all.")
    invert: Flag = setting(False, "Negate the condition.")

    @model_validator(mode="after")
    def _exactly_one(self) -> "HeaderCondition":
        given = [self.exact, self.prefix, self.regex, self.present]
        if len([value for value in given if value is not None]) != 1:
            raise ValueError("give exactly one of `exact`, `prefix`, `regex` and `present`")
        return self

    def compiled(self, name: str) -> snapshot.HeaderMatch:
        """As the snapshot has it, for the header ``name``."""
        name = name.lower()
        if self.exact is not None:
            return snapshot.HeaderMatch(name, "exact", self.exact, self.invert)
        if self.prefix is not None:
            return snapshot.HeaderMatch(name, "prefix", self.prefix, self.invert)
        if self.regex is not None:
            return snapshot.HeaderMatch(name, "regex", self.regex, self.invert)
        return snapshot.HeaderMatch(name, "present", "", self.invert == self.present)


def _conditions(value: Any) -> Any:
    return [
        item if isinstance(item, (dict, HeaderCondition)) else {"exact": item}
        for item in (value if isinstance(value, list) else [value])
    ]


_ConditionInput = str | HeaderCondition


Conditions = Annotated[
    tuple[HeaderCondition, ...],
    BeforeValidator(_conditions, json_schema_input_type=_ConditionInput | list[_ConditionInput]),
]


def _method(value: object) -> str:
    return parse_token(value).upper()


class Match(Section):
    """When a route applies. Every condition given must hold; without any it always applies."""

    listeners: OneOrMany[str] = setting((), "Names of listeners.")
    hosts: OneOrMany[ServerName] = setting(
        (), "Hosts without port: `api.example.com` or `*.example.com`."
    )
    sources: OneOrMany[Network] = setting(
        (), "Networks of the client's address, as trusted proxies tell it."
    )
    server_names: OneOrMany[ServerName] = setting(
        (), "Names that clients of `tls-passthrough` listeners ask for, as in `hosts`."
    )
    path: RulePath | None = setting(None, "The whole path.")
    path_prefix: RulePath | None = setting(
        None,
        "Beginning of the path, in whole segments: `/v1` covers `/v1/chat` but not `/v10`.",
    )
    path_regex: Regex | None = setting(None, "A regular expression that matches the whole path.")
    methods: OneOrMany[Annotated[str, BeforeValidator(_method)]] = setting(
        (), "Methods, such as `GET`."
    )
    headers: dict[Token, Conditions] = setting(
        {}, "Header names with a value, a condition, or a list of conditions that all hold."
    )

    @model_validator(mode="after")
    def _one_path(self) -> "Match":
        given = [self.path, self.path_prefix, self.path_regex]
        if len([value for value in given if value is not None]) > 1:
            raise ValueError("give one of `path`, `path_prefix` and `path_regex`")
        return self

    def is_everything(self) -> bool:
        """Whether every request on every listener matches."""
        return self == Match() or self == Match(path_prefix="/")

    def compiled(self) -> snapshot.Match:
        """As the snapshot has it."""
        kind, path = self._path()
        return snapshot.Match(
            listeners=self.listeners,
            hosts=self.hosts,
            path_kind=kind,
            path=path,
            methods=self.methods,
            sources=self.sources,
            server_names=self.server_names,
            headers=tuple(
                condition.compiled(name)
                for name, conditions in self.headers.items()
                for condition in conditions
            ),
        )

    def _path(self) -> tuple[Literal["any", "exact", "prefix", "regex"], str]:
        if self.path is not None:
            return "exact", self.path
        if self.path_prefix is not None:
            return "prefix", self.path_prefix
        if self.path_regex is not None:
            return "regex", self.path_regex
        return "any", ""
