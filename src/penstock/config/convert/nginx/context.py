"""What the parts of a conversion share: which directives have their counterpart, and which not."""

from collections.abc import Sequence
from typing import Any

from penstock.config.convert.nginx.reader import Directive
from penstock.config.convert.nginx.words import ACCESS, NEEDLESS, WHY
from penstock.config.convert.outcome import Kind, LeftOut, Outcome, unique

Chain = Sequence[Directive]  # blocks around a place, the innermost last


class Conversion:
    """A document under construction. Whatever is not taken is told as left out."""

    def __init__(self, source: str) -> None:
        self.outcome = Outcome(source)
        self.pools: dict[str, dict[str, Any]] = {}
        self._taken: set[int] = set()
        self._told: set[int] = set()
        self._kept: list[Directive] = []  # so that an id stays that of one directive
        self._pool_of: dict[str, str] = {}  # by what it was made of

    def take(self, *directives: Directive) -> None:
        """They have their counterpart in the document."""
        self._kept += directives
        self._taken.update(id(each) for each in directives)

    def take_all(self, directive: Directive) -> None:
        """It, and what is in its block."""
        self.take(directive)
        for each in directive.block:
            self.take_all(each)

    def leave(self, directive: Directive, why: str, kind: Kind = "part") -> None:
        """It has none, for that reason."""
        if id(directive) in self._told:
            return
        self._kept.append(directive)
        self._told.add(id(directive))
        self.outcome.left_out.append(
            LeftOut(directive.file, directive.line, directive.text, why, kind)
        )

    def nearest(self, chain: Chain, *names: str) -> list[Directive]:
        """Those of the innermost block that has any: what nginx inherits, it inherits whole."""
        nearest: list[Directive] = []
        for block in reversed(chain):
            found = block.of(*names)
            self.take(*found)  # those further out do nothing where there are nearer ones
            nearest = nearest or found
        return nearest

    def value(self, chain: Chain, name: str) -> str | None:
        """The first argument of the nearest of that name."""
        found = self.nearest(chain, name)
        return found[-1].args[0] if found and found[-1].args else None

    def pool(self, name: str, pool: dict[str, Any]) -> str:
        """The name of a pool that is so; one of another kind gets another name."""
        key = f"{name} {pool!r}"
        if key not in self._pool_of:
            self._pool_of[key] = unique(name, self.pools)
            self.pools[self._pool_of[key]] = pool
        return self._pool_of[key]

    def tell_rest(self, block: Directive) -> None:
        """Everything below that was not taken."""
        for each in block.block:
            if id(each) in self._taken:
                self.tell_rest(each)
            elif id(each) not in self._told:
                self._tell(each)

    def _tell(self, each: Directive) -> None:
        if each.name in ACCESS:
            off = each.args[:1] in (("off",), ("all",)) and each.name not in ("allow", "deny")
            self.leave(
                each, "it is off" if off else ACCESS[each.name], "needless" if off else "access"
            )
        elif each.name in NEEDLESS:
            self.leave(each, "nothing here needs it", "needless")
        else:
            guards = holds_access(each)
            why = WHY.get(each.name, "it has no counterpart here, or none that was found")
            self.leave(
                each,
                f"{why}; it holds rules of access" if guards else why,
                "access" if guards else "part",
            )


def holds_access(directive: Directive) -> bool:
    """Whether something in its block says who may pass."""
    for each in directive.block:
        if each.name in ACCESS or holds_access(each):
            return True
        if (
            each.name == "return"
            and each.args[:1]
            and each.args[0].startswith("4")
            and directive.name == "if"
        ):
            return True
    return False
