"""``pool``."""

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from msgspec import Meta

from penstock.admin.command import Answer, Document
from penstock.control.commands.base import OperatorCommand

if TYPE_CHECKING:
    from penstock.control.parts import Parts


class ChangePool(OperatorCommand):
    """Add, change or remove a pool until the configuration lists it, or a restart.

    Its settings are as in the configuration, without what runs code or names files, secrets or
    commands. `change` replaces the keys given; `null` takes one away. A route sends requests there
    (`ctl route`). Needs an admin token, on this machine too.
    """

    name: ClassVar[str] = "pool"
    example: ClassVar[str] = (
        "add blue --settings '{endpoints: [http://gpu3:8000], health_check: /health}' --save"
    )
    needs_token: ClassVar[bool] = True
    action: Literal["add", "change", "remove"]
    pool: str
    settings: Annotated[
        str | dict[str, Any], Meta(description="As in the configuration; YAML or JSON.")
    ] = ""
    save: Annotated[bool, Meta(description="Keep it over restarts, in `state`.")] = False

    async def run(self, parts: "Parts") -> Answer:
        """Raises UnknownNameError, and ValueError for what cannot be."""
        from penstock.config.load.run_time import settings_of

        additions = parts.additions
        match self.action:
            case "add":
                said = settings_of(self.settings)
                await additions.add("pool", self.pool, said, save=self.save)
            case "change":
                said = settings_of(self.settings)
                await additions.change("pool", self.pool, said, save=self.save)
            case "remove":
                await additions.remove("pool", self.pool, save=self.save)
        return Answer({"action": self.action, "pool": self.pool, "saved": self.save})

    @classmethod
    def told(cls, answer: Document) -> str:
        return told_of(f"the pool {answer['pool']}", answer)


def told_of(what: str, answer: Document) -> str:
    """What became of a pool or a route, in words."""
    done = {"add": "added", "change": "changed", "remove": "removed"}[answer["action"]]
    kept = "saved" if answer["saved"] else "kept until a restart"
    return f"{what} is {done} ({kept})"
