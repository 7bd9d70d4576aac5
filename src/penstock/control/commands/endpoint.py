"""``endpoint``."""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from msgspec import Meta

from penstock.admin.command import Answer, Document
from penstock.control.commands.base import OperatorCommand

if TYPE_CHECKING:
    from penstock.control.parts import Parts


class ChangeEndpoint(OperatorCommand):
    """Add, change or remove an endpoint until the configuration lists it, or a restart.

    Needs an admin token, on this machine too: who may add an endpoint may read every request. What
    is removed finishes what it runs; what a provider finds stays away once it is removed here.
    """

    name: ClassVar[str] = "endpoint"
    example: ClassVar[str] = "add main http://gpu3:8000 --weight 2 --save"
    needs_token: ClassVar[bool] = True
    action: Literal["add", "change", "remove"]
    pool: str
    url: str
    weight: Annotated[
        Annotated[float, Meta(ge=0.0, le=1e6)] | None,
        Meta(description="Its share of requests relative to the others."),
    ] = None
    zone: Annotated[str, Meta(description="Its zone.")] = ""
    models: Annotated[str, Meta(description="Models that it serves, with commas.")] = ""
    save: Annotated[bool, Meta(description="Keep it over restarts, in `state`.")] = False

    async def run(self, parts: "Parts") -> Answer:
        """Raises UnknownNameError, and ValueError for what cannot be."""
        said = {"weight": self.weight, "zone": self.zone, "models": self.models}
        endpoints = parts.api_endpoints
        match self.action:
            case "add":
                done = await endpoints.add(self.pool, self.url, said, save=self.save)
            case "change":
                done = await endpoints.change(self.pool, self.url, said, save=self.save)
            case "remove":
                done = await endpoints.remove(self.pool, self.url, save=self.save)
        if parts.sharing is not None:
            removed = self.action == "remove"
            parts.sharing.endpoints.said(self.pool, self.url, None if removed else said)
        return Answer(
            {
                "action": self.action,
                "pool": self.pool,
                "endpoint": done.name,
                "weight": done.weight,
                "saved": self.save,
            }
        )

    @classmethod
    def told(cls, answer: Document) -> str:
        what = {"add": "added", "change": "changed", "remove": "removed"}[answer["action"]]
        kept = "saved" if answer["saved"] else "kept until a restart"
        weight = f", weight {answer['weight']:g}" if answer["action"] != "remove" else ""
        return f"{answer['pool']}/{answer['endpoint']} is {what}{weight} ({kept})"
