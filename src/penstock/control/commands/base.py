"""Bases of commands."""

from typing import TYPE_CHECKING, ClassVar, Final

from penstock.admin.command import Answer, Command, Document

if TYPE_CHECKING:  # `penstock ctl` reads the table without loading the supervisor's parts
    from penstock.control.parts import Parts

BY_OPERATOR: Final = "requested by an operator"


class OperatorCommand(Command):
    """A command that the supervisor carries out."""

    async def run(self, parts: "Parts") -> Answer:
        """Raises UnknownNameError (404), and ValueError (400) for a value that cannot be."""
        raise NotImplementedError


class EndpointCommand(OperatorCommand):
    """A command about one endpoint; its answer says what became of it."""

    example: ClassVar[str] = "main/10.0.0.1:8000"
    pool: str
    endpoint: str

    async def run(self, parts: "Parts") -> Answer:
        """Apply it. Raises as ``apply`` does."""
        self.apply(parts)
        if parts.sharing is not None:
            parts.sharing.operators.said(self.pool, self.endpoint)
        state = parts.states.of(self.pool, self.endpoint)
        return Answer(
            {
                "pool": self.pool,
                "endpoint": self.endpoint,
                "state": state.shown,
                "reason": state.cause.reason,
                "weight": state.weight,
            }
        )

    def apply(self, parts: "Parts") -> None:
        """Raises UnknownNameError, and ValueError for a value that cannot be."""
        raise NotImplementedError

    @classmethod
    def told(cls, answer: Document) -> str:
        return f"{answer['pool']}/{answer['endpoint']} is {answer['state']}"
