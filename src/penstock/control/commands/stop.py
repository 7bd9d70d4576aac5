"""``stop``."""

from typing import TYPE_CHECKING, ClassVar

from penstock.admin.command import Answer, Document
from penstock.control.commands.base import OperatorCommand

if TYPE_CHECKING:
    from penstock.control.parts import Parts


class Stop(OperatorCommand):
    """Stop gracefully: accept nothing new and finish running requests within the deadline."""

    name: ClassVar[str] = "stop"

    async def run(self, parts: "Parts") -> Answer:
        parts.stop()
        return Answer({"stopping": True}, 202)

    @classmethod
    def told(cls, answer: Document) -> str:
        return "stopping"
