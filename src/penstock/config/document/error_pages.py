"""The document's part about pages that clients get in place of errors."""

import re
from typing import Annotated, Final

from pydantic import Field, PlainValidator, model_validator

from penstock.config.document.section import Section, setting
from penstock.config.document.show import show
from penstock.config.document.values import Flag, OneOrMany

_CLASS: Final = re.compile("[45]xx")
MAX_ENTRIES: Final = 32


def parse_statuses(value: object) -> int | str:
    """A status from 400 to 599, or all of a kind: ``4xx``, ``5xx``. Raises ValueError."""
    text = str(value).lower()
    if _CLASS.fullmatch(text):
        return text
    if text.isascii() and text.isdigit() and len(text) == 3 and text[0] in "45":
        return int(text)
    raise ValueError(f"a status from 400 to 599, `4xx` or `5xx` is needed, not {show(value)}")


_Statuses = Annotated[
    int | str,
    PlainValidator(
        parse_statuses,
        json_schema_input_type=Annotated[int, Field(ge=400, le=599)]
        | Annotated[str, Field(pattern="^[45]xx$")],
    ),
]


class ErrorPage(Section):
    """What clients get in place of errors of some statuses; in which form, their `Accept` says."""

    statuses: OneOrMany[_Statuses] = setting(
        (), "Statuses, such as `404`, or all of a kind: `4xx`, `5xx`."
    )
    files: OneOrMany[str] = setting(
        (),
        "Files with the page, one for each form, told by its suffix: `.html`, `.json` or `.txt`. "
        "Read at the start and at a reload; at most 64 KiB each.",
    )
    text: str | None = setting(None, "The page as plain text, in place of a `.txt` file.")
    replace_endpoint_answers: Flag = setting(
        False,
        "Whether endpoints' answers of these statuses are replaced too. Otherwise only those of "
        "Penstock itself.",
    )

    @model_validator(mode="after")
    def _complete(self) -> "ErrorPage":
        if not self.statuses:
            raise ValueError("`statuses` says which errors it is for: `[502, 503]` or `5xx`")
        if not self.files and self.text is None:
            raise ValueError("give `files`, `text` or both")
        return self

    def all_statuses(self) -> tuple[int, ...]:
        """One by one."""
        found: list[int] = []
        for each in self.statuses:
            if isinstance(each, int):
                found.append(each)
            else:
                first = int(each[0]) * 100
                found += range(first, first + 100)
        return tuple(dict.fromkeys(found))


ErrorPages = Annotated[OneOrMany[ErrorPage], Field(max_length=MAX_ENTRIES)]
