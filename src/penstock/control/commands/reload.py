"""``reload``."""

from typing import TYPE_CHECKING, ClassVar

import msgspec

from penstock.admin.command import Answer, Document
from penstock.control.commands.base import OperatorCommand

if TYPE_CHECKING:
    from penstock.control.parts import Parts


class Reload(OperatorCommand):
    """Reload the configuration. If it is invalid, nothing changes and the errors are shown."""

    name: ClassVar[str] = "reload"

    async def run(self, parts: "Parts") -> Answer:
        """422 with the reason in ``message`` where the configuration is refused."""
        result = await parts.reloader.reload("admin address")
        return Answer(msgspec.to_builtins(result), 200 if result.ok else 422)

    @classmethod
    def told(cls, answer: Document) -> str:
        return "\n".join([answer["message"], *(f"note: {note}" for note in answer["notes"])])
