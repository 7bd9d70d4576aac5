"""``drain``."""

from typing import TYPE_CHECKING, ClassVar

from penstock.control.commands.base import BY_OPERATOR, EndpointCommand

if TYPE_CHECKING:
    from penstock.control.parts import Parts


class Drain(EndpointCommand):
    """Send no new clients to an endpoint; running requests finish.

    Clients that a sticky cookie binds to it stay, unless the pool's `drain` says otherwise.
    """

    name: ClassVar[str] = "drain"

    def apply(self, parts: "Parts") -> None:
        parts.states.drain(self.pool, self.endpoint, BY_OPERATOR)
