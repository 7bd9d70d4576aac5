"""The table of engines in ``docs/llm.md``, made from their dialects:
``python -m penstock.config.describe.engine_table --write``.
"""

from pathlib import Path
from typing import Final

from penstock.config.describe.generated import main, with_generated
from penstock.wire.engines import engine_dialects
from penstock.wire.engines.dialect import YES, EngineDialect
from penstock.wire.engines.generic import GENERIC

FILE: Final = Path("docs/llm.md")
_MODULE: Final = "penstock.config.describe.engine_table"
_HEAD: Final = (
    "| Engine | Recognised by | Read from | Requests | Cache held | Size of the cache "
    "| Prefix hits | In memory |\n|---|---|---|---|---|---|---|---|\n"
)
_ANY_OTHER: Final = (
    f"| any other | `kind: {GENERIC}` and the names of its metrics | `/metrics` | {YES} | {YES} "
    "| `kv_tokens` | | |\n"
)


def engine_table() -> str:
    """A row for each engine and for each stand-in of its metrics, as Markdown."""
    rows = [
        _row(each)
        for dialect in engine_dialects().values()
        for each in (dialect, *dialect.stand_ins)
    ]
    return "".join([_HEAD, *rows, _ANY_OTHER])


def with_engine_table(text: str) -> str:
    """The document with the table of today. Raises ValueError where it has no place for it."""
    return with_generated(text, _MODULE, engine_table())


def _row(dialect: EngineDialect) -> str:
    marks = ", ".join(f"`{mark}…`" for mark in dialect.marks) or "its answer"
    load = f"`{dialect.path}`" + (f" at port {dialect.port}" if dialect.port else "")
    others = [f"`{path}`" for path in (*dialect.info_paths, dialect.more) if path]
    reports = dialect.reports
    cells = [
        dialect.title,
        marks,
        ", ".join(dict.fromkeys([load, *others])),
        reports.requests,
        reports.kv_usage,
        reports.kv_capacity,
        reports.prefix_hits,
        reports.loaded,
    ]
    return "".join(f"| {cell} " if cell else "| " for cell in cells) + "|\n"


if __name__ == "__main__":
    main(FILE, with_engine_table)
