"""``weight``."""

from typing import TYPE_CHECKING, Annotated, ClassVar

from msgspec import Meta

from penstock.admin.command import Document
from penstock.control.commands.base import BY_OPERATOR, EndpointCommand

if TYPE_CHECKING:
    from penstock.control.parts import Parts


class Weight(EndpointCommand):
    """Set an endpoint's weight until its configured weight changes."""

    name: ClassVar[str] = "weight"
    example: ClassVar[str] = "main/10.0.0.1:8000 0.5"
    weight: Annotated[float, Meta(ge=0.0)]

    def apply(self, parts: "Parts") -> None:
        parts.states.set_weight(self.pool, self.endpoint, self.weight, BY_OPERATOR)

    @classmethod
    def told(cls, answer: Document) -> str:
        return f"{EndpointCommand.told(answer)}, weight {answer['weight']:g}"
