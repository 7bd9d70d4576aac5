"""What a command of the admin address is: a request, its name, and how its answer reads."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal, TypeAlias

import msgspec

PREFIX: Final = "/api/v1/"
Document: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What is answered, as JSON."""

    document: Document
    status: int = 200


class Command(msgspec.Struct, forbid_unknown_fields=True):
    """One command. Its fields are the request's: the JSON body of a POST, the query of a GET.

    From it derive the route of the admin server, the verb of ``penstock ctl`` (help: the docstring;
    fields without a default are arguments, others options, described by ``msgspec.Meta``) and the
    documentation.
    """

    name: ClassVar[str] = ""
    method: ClassVar[Literal["GET", "POST"]] = "POST"
    example: ClassVar[str] = ""  # arguments that follow the name
    needs_token: ClassVar[bool] = False  # not taken at all where no token is configured

    @classmethod
    def path(cls) -> str:
        """The path of its route."""
        return PREFIX + cls.name

    @classmethod
    def told(cls, answer: Document) -> str:
        """An answer in words."""
        raise NotImplementedError


Run: TypeAlias = Callable[[Any], Awaitable[Answer]]
BoundCommands: TypeAlias = Mapping[type[Command], Run]  # each with what carries it out
