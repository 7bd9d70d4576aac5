"""Text of others on a terminal or in a log: what would move the cursor or hide is shown instead."""

from typing import Any


def visible(text: str) -> str:
    r"""With control, format and private characters as escapes: ``\x1b``, ``\u202e``."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _escape(ord(each)) for each in text)


def all_visible(document: Any) -> Any:
    """The same of every text in plain data."""
    if isinstance(document, str):
        return visible(document)
    if isinstance(document, dict):
        return {visible(key): all_visible(value) for key, value in document.items()}
    if isinstance(document, (list, tuple)):
        return [all_visible(each) for each in document]
    return document


def _escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
