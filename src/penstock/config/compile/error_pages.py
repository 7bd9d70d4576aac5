"""From the document to the snapshot: pages in place of errors, read from their files."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from penstock.config.document.error_pages import ErrorPage
from penstock.config.load.errors import Location
from penstock.config.load.findings import Findings
from penstock.core import snapshot

MAX_BYTES: Final = 65536  # of a page: every worker keeps it in memory
_FORMS: Final = {".html": "html", ".htm": "html", ".json": "json", ".txt": "text"}


def compile_error_pages(
    pages: Sequence[ErrorPage], at: Location, findings: Findings
) -> tuple[snapshot.ErrorPage, ...]:
    """In order. What is wrong with a file is noted in ``findings``, where it is named."""
    compiled = []
    for index, page in enumerate(pages):
        here = (*at, index)
        forms = {"text": page.text} if page.text is not None else {}
        for number, name in enumerate(page.files):
            with findings.noting((*here, "files", number)):
                form, content = _read(findings.path(name))
                if form in forms:
                    raise ValueError(f"the page has another {form} form already")
                forms[form] = content
        compiled.append(
            snapshot.ErrorPage(
                statuses=page.all_statuses(),
                replaces_endpoints=page.replace_endpoint_answers,
                **forms,
            )
        )
    return tuple(compiled)


def _read(path: Path) -> tuple[str, str]:
    """The form that the file has, and its text. Raises ValueError, for people."""
    form = _FORMS.get(path.suffix.lower())
    if form is None:
        raise ValueError(
            f"{path.name}: the suffix says what it is: .html for browsers, .json for programs, "
            ".txt for all else"
        )
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    if len(raw) > MAX_BYTES:
        raise ValueError(f"{path} has over {MAX_BYTES} bytes; link to large pictures instead")
    try:
        content = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in UTF-8") from error
    if not content:
        raise ValueError(f"{path} is empty")
    if form == "json":
        _check_json(path, content)
    return form, content


def _check_json(path: Path, content: str) -> None:
    try:
        json.loads(content)
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
