"""A hook of MkDocs: links that lead out of docs/ name what is in the repository instead.

In a checkout they lead to files; on the site there are none.
"""

import posixpath
import re
from typing import Any

_LINK = re.compile(r"\[([^\]\n]+)\]\((\.\.?/[^)\s#]+|[\w/-]+)(#[^)\s]*)?\)")


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Called by MkDocs with each page."""
    folder = posixpath.dirname(page.file.src_uri)
    return _LINK.sub(lambda found: _seen(found, folder), markdown)


def _seen(found: "re.Match[str]", folder: str) -> str:
    """The link as it is where it stays within docs/ and leads to a page."""
    text, target = found[1], found[2]
    place = posixpath.normpath(posixpath.join("docs", folder, target))
    if place.startswith("docs/") and posixpath.splitext(place)[1]:
        return found[0]
    return f"{text} (`{place}`)" if text.strip("`") != place else f"`{place}`"
