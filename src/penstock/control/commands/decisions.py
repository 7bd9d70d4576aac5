"""``decisions``."""

import json
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from msgspec import Meta

from penstock.admin.command import Answer, Document
from penstock.control.commands.base import OperatorCommand

if TYPE_CHECKING:
    from penstock.control.parts import Parts


class Decisions(OperatorCommand):
    """List the recorded decisions, newest first."""

    name: ClassVar[str] = "decisions"
    method: ClassVar[Literal["GET", "POST"]] = "GET"
    example: ClassVar[str] = "--limit 1000 --json > decisions.jsonl"
    id: Annotated[str, Meta(description="Only decisions about the request with this id.")] = ""
    pool: Annotated[str, Meta(description="Only decisions of this pool.")] = ""
    limit: Annotated[int, Meta(ge=1, le=10_000, description="How many to list.")] = 20

    async def run(self, parts: "Parts") -> Answer:
        question = {"kind": "decisions", "id": self.id, "pool": self.pool, "limit": self.limit}
        records: list[dict[str, Any]] = []
        for answer in await parts.workers.ask_all(question):
            found = answer["records"]
            assert isinstance(found, list)
            records += found
        records.sort(key=lambda record: float(record["time"]), reverse=True)
        return Answer({"decisions": records[: self.limit]})

    @classmethod
    def told(cls, answer: Document) -> str:
        return "\n".join(json.dumps(each, ensure_ascii=False) for each in answer["decisions"])
