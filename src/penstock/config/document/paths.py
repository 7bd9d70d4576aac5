"""Paths of requests, and what becomes part of one."""

import re
from typing import Final
from urllib.parse import quote

from penstock.config.document.show import show
from penstock.wire.target_path import has_dot_segment, normal_path, other_readings

_PATH: Final = re.compile(r"/[\x21\x22\x24-\x3e\x40-\x7e]*")  # visible ASCII without # and ?
# A group in a template of `re.sub`; three digits would be the number of a character.
_GROUP: Final = re.compile(r"\\[1-9][0-9]?(?![0-9])|\\g<\w+>")
_REPLACEMENT: Final = re.compile(rf"(?:[\x21\x22\x24-\x3e\x40-\x5b\x5d-\x7e]|{_GROUP.pattern})*")
_LONGEST_HINT: Final = 120  # characters
_QUERY: Final = re.compile(r"[\x21\x22\x24-\x7e]*")


def parse_path(value: object) -> str:
    """The path of a request, in the form it is sent. Raises ValueError."""
    if not isinstance(value, str) or not value.startswith("/"):
        raise ValueError(f"a path begins with '/', not {show(value)}")
    if not _PATH.fullmatch(value):
        raise ValueError(
            f"{show(value)} holds characters that are escaped in a path{_escaped(value)}"
        )
    return value


def parse_path_piece(value: str) -> str:
    """What may become a part of a path: without a leading slash too. Raises ValueError."""
    if not _PATH.fullmatch("/" + value):
        raise ValueError(
            f"{show(value)} holds characters that are escaped in a path{_escaped(value)}"
        )
    if has_dot_segment(f"/{value}".encode()) or has_dot_segment(value.encode()):
        raise ValueError(f"{show(value)} holds a dot segment")
    return value


def _escaped(value: str) -> str:
    """A hint how a path is written: ASCII, all else as its bytes in UTF-8 (RFC 3987, 3.1)."""
    escaped = quote(value, safe="/%:@!$&'()*+,;=~")
    return f": write {escaped}" if len(escaped) <= _LONGEST_HINT else ""


def parse_replacement(regex: str, value: str) -> str:
    """A template for what ``regex`` matches in a path. Raises ValueError."""
    if not _REPLACEMENT.fullmatch(value):
        literal = _GROUP.sub("", value)
        if "\\" in literal:
            raise ValueError(
                f"{show(value)}: after a backslash stands the number of a group of `regex`, as in "
                r"\1, or its name, as in \g<name>"
            )
        parse_path_piece(literal)
    try:
        # On a text that every pattern with an empty alternative matches.
        re.sub(f"{regex}\n|", value, "")
    except (re.error, IndexError) as error:
        raise ValueError(f"{show(value)} does not fit `regex`: {error}") from error
    return value


def parse_rule_path(value: object) -> str:
    """A path that requests are compared with, in the normal form of theirs. Raises ValueError."""
    path = parse_path(value)
    normal = normal_path(path.encode(), False)
    if other_readings(normal):
        raise ValueError(
            f"{show(value)} is a path that servers read in several ways (for %2F, //, ; or \\), so "
            "requests for it are refused; a rule cannot ask for it"
        )
    return normal.decode()


def parse_target(value: object) -> str:
    """A path, and a query if there is one. Raises ValueError."""
    path, question, query = str(value).partition("?")
    if not _QUERY.fullmatch(query):
        raise ValueError(f"{show(value)} holds characters that must be percent-encoded")
    return parse_path(path if isinstance(value, str) else value) + question + query
