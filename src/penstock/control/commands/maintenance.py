"""``maintenance``."""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from msgspec import Meta

from penstock.admin.command import Answer, Document
from penstock.control.commands.base import BY_OPERATOR, OperatorCommand

if TYPE_CHECKING:
    from penstock.control.parts import Parts

_DAY_S = 86_400


class SetMaintenance(OperatorCommand):
    """Answer a pool's clients with 503, or serve them again; running requests finish.

    They get the page that `error_pages` has for 503, or the text given here. Health checks go on,
    and a worker that is restarted, or a reload, leaves it on. Balancers that share a `store` all do
    it.
    """

    name: ClassVar[str] = "maintenance"
    example: ClassVar[str] = 'main on --text "Back at noon."'
    pool: str
    switch: Literal["on", "off"]
    text: Annotated[str, Meta(description="What clients are told, in place of the page.")] = ""
    retry_after: Annotated[
        int,
        Meta(ge=0, le=_DAY_S, description="Seconds after which clients may try again; 0: unsaid."),
    ] = 60

    async def run(self, parts: "Parts") -> Answer:
        """Raises UnknownNameError, and ValueError for a pool that cannot answer."""
        if self.switch == "on":
            await parts.maintenance.switch_on(self.pool, self.text, self.retry_after, BY_OPERATOR)
        else:
            await parts.maintenance.switch_off(self.pool, BY_OPERATOR)
        if parts.sharing is not None:
            parts.sharing.said_of_pool(self.pool)
        since = parts.maintenance.since(self.pool)
        return Answer({"pool": self.pool, "maintenance": since > 0.0, "since": since})

    @classmethod
    def told(cls, answer: Document) -> str:
        if answer["maintenance"]:
            return f"clients of {answer['pool']} get 503"
        return f"clients of {answer['pool']} are served"
