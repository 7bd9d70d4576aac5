"""``undrain``."""

from typing import TYPE_CHECKING, ClassVar

from penstock.control.commands.base import BY_OPERATOR, EndpointCommand

if TYPE_CHECKING:
    from penstock.control.parts import Parts


class Undrain(EndpointCommand):
    """Send requests to a drained endpoint again."""

    name: ClassVar[str] = "undrain"

    def apply(self, parts: "Parts") -> None:
        parts.states.undrain(self.pool, self.endpoint, BY_OPERATOR)
