"""``route``."""

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from msgspec import Meta

from penstock.admin.command import Answer, Document
from penstock.control.commands.base import OperatorCommand
from penstock.control.commands.pool import told_of

if TYPE_CHECKING:
    from penstock.control.parts import Parts


class ChangeRoute(OperatorCommand):
    """Add, change or remove a route until the configuration lists it, or a restart.

    Its settings are as in the configuration, without changes of request headers and pages in files.
    Routes of the configuration are asked first; only those at its end that take all that is left
    come after the ones added here. Needs an admin token, on this machine too.
    """

    name: ClassVar[str] = "route"
    example: ClassVar[str] = (
        "add to-blue --settings '{match: {path_prefix: /blue}, pool: blue}' --position 1"
    )
    needs_token: ClassVar[bool] = True
    action: Literal["add", "change", "remove"]
    route: str
    settings: Annotated[
        str | dict[str, Any], Meta(description="As in the configuration; YAML or JSON.")
    ] = ""
    position: Annotated[
        Annotated[int, Meta(ge=1, le=1000)] | None,
        Meta(description="Its place among routes added, from 1. Default: the last, or as before."),
    ] = None
    save: Annotated[bool, Meta(description="Keep it over restarts, in `state`.")] = False

    async def run(self, parts: "Parts") -> Answer:
        """Raises UnknownNameError, and ValueError for what cannot be."""
        from penstock.config.load.run_time import settings_of

        additions, position, save = parts.additions, self.position, self.save
        match self.action:
            case "add":
                said = settings_of(self.settings)
                await additions.add("route", self.route, said, position=position, save=save)
            case "change":
                said = settings_of(self.settings)
                await additions.change("route", self.route, said, position=position, save=save)
            case "remove":
                await additions.remove("route", self.route, save=save)
        return Answer({"action": self.action, "route": self.route, "saved": self.save})

    @classmethod
    def told(cls, answer: Document) -> str:
        return told_of(f"the route {answer['route']}", answer)
