"""``usage``."""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from penstock.admin.command import Answer, Document
from penstock.control.commands.base import OperatorCommand

if TYPE_CHECKING:
    from penstock.control.parts import Parts


class ShowUsage(OperatorCommand):
    """Show what tenants used, by day (UTC), key and model. `penstock usage` makes tables of it."""

    name: ClassVar[str] = "usage"
    method: ClassVar[Literal["GET", "POST"]] = "GET"
    example: ClassVar[str] = "--days 7"
    days: Annotated[int, Meta(description="Of the last so many days, today included.", ge=1)] = 1
    tenant: Annotated[str, Meta(description="Only this tenant.")] = ""

    async def run(self, parts: "Parts") -> Answer:
        rows = [row for row in parts.usage.rows(self.days) if self.tenant in ("", row.tenant)]
        return Answer({"rows": msgspec.to_builtins(rows)})

    @classmethod
    def told(cls, answer: Document) -> str:
        rows = answer["rows"]
        if not rows:
            return "nobody with a key has asked for anything"
        return "\n".join(
            f"{row['day']} {row['tenant']}/{row['key']} {row['model'] or '-'}: "
            f"{row['requests']} requests, {row['prompt_tokens']} + {row['output_tokens']} tokens, "
            f"cost {row['cost']:.6g}"
            for row in rows
        )
