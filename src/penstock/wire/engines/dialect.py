"""What a dialect is: where an engine reports its load, and how the answer is read."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

import msgspec

from penstock.wire.engines.reading import Reading, UnreadableError
from penstock.wire.resume.token_ids import FIELDS

USUAL_PATH: Final = "/metrics"
Read = Callable[[bytes], Reading]
_T = TypeVar("_T")


@dataclass(frozen=True)
class Reports:
    """What it reports, for ``docs/llm.md``: "" is no, ``YES``, or under which condition."""

    requests: str = ""
    kv_usage: str = ""
    kv_capacity: str = ""
    prefix_hits: str = ""
    loaded: str = ""


YES: Final = "✓"


@dataclass(frozen=True)
class EngineDialect:
    """One engine's. ``name`` is what configurations call it, ``title`` what people do.

    ``path`` and ``port`` (0: the endpoint's own) are where load is reported.
    """

    name: str
    title: str
    read: Read
    reports: Reports
    path: str = USUAL_PATH
    port: int = 0
    # How the names of its metrics begin, and no other engine's. Without marks it is recognised by
    # an answer that can be read.
    marks: tuple[str, ...] = ()
    # Its exposition may include that of an engine which it runs, so it is recognised first.
    runs_others: bool = False
    # Paths, of which the first that answers tells what does not change: ``capacity`` is the size of
    # its cache in tokens, ``slots`` how many sequences it keeps in slots that requests may choose.
    info_paths: tuple[str, ...] = ()
    capacity: Callable[[bytes], int] | None = field(default=None)
    slots: Callable[[bytes], int] | None = field(default=None)
    # Where the cache may turn out larger than ``capacity`` tells, asked with each reading.
    more: str = ""
    more_capacity: Callable[[bytes], int] | None = field(default=None)
    # What to read, in this order, where its metrics are turned off or do not report requests.
    stand_ins: tuple["EngineDialect", ...] = ()
    is_stand_in: bool = False
    ids_way: int = FIELDS  # how its answers tell token ids


def decoded(body: bytes, kind: type[_T]) -> _T:
    """A JSON answer. Raises UnreadableError."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableError(f"its answer cannot be read: {error}") from error
