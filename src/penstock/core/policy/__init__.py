"""The algorithms that choose an endpoint: one per file, found here by name.

Nothing else lists them: command line, configuration schema, documentation and metric labels
all derive from ``policies()``.
"""

from functools import cache
from importlib import import_module
from pkgutil import walk_packages

from penstock.core.policy.base import Option, Policy
from penstock.core.policy.support.other_names import meant_by
from penstock.core.policy.support.own import load_own

__all__ = ["Option", "Policy", "create", "policies", "policy_class"]

_NOT_POLICIES = (f"{__name__}.base", f"{__name__}.support.")


@cache
def policies() -> dict[str, type[Policy]]:
    """Every built-in policy class by its name, in alphabetical order."""
    found: dict[str, type[Policy]] = {}
    for module in walk_packages(__path__, f"{__name__}."):
        if module.ispkg or module.name.startswith(_NOT_POLICIES):
            continue
        for member in vars(import_module(module.name)).values():
            if isinstance(member, type) and issubclass(member, Policy) and member.name:
                found[member.name] = member
    return dict(sorted(found.items()))


def policy_class(name: str) -> type[Policy]:
    """The class called ``name``: a built-in, or a user's ``package.module:Class``.

    Raises ValueError, naming the close matches, when there is none.
    """
    if ":" in name:
        return load_own(name)
    known = policies()
    if name in known:
        return known[name]
    from difflib import get_close_matches

    hint = meant_by(name)
    if not hint:
        close = get_close_matches(name.lower().replace("_", "-"), known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
    raise ValueError(f"there is no policy {name!r}; {hint}")


def create(name: str, options: dict[str, object] | None = None) -> Policy:
    """A policy of that name. Raises ValueError on an unknown name or a bad option."""
    cls = policy_class(name)
    given = dict(options or {})
    checked = {
        option.name: option.check(given.pop(option.name))
        for option in cls.options
        if option.name in given
    }
    if given:
        known = ", ".join(option.name for option in cls.options) or "none"
        raise ValueError(f"policy {name!r} has no option {min(given)!r}; its options: {known}")
    return cls(**checked)
