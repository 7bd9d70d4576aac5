"""Policies of people's own: a class in a module of theirs, named ``package.module:Class``."""

from importlib import import_module
from typing import Final

from penstock.core.policy.base import Policy

_MODULES: Final[set[str]] = set()  # frames of these tell where such a policy failed


def load_own(name: str) -> type[Policy]:
    """The class called so. Raises ValueError, saying where it was looked for or what failed."""
    module_name, _, class_name = name.partition(":")
    _MODULES.add(module_name)
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if module_name == missing or module_name.startswith(missing + "."):
            raise ValueError(
                f"policy {name!r}: no module {missing!r} was found beside the configuration file, "
                "in the current directory, or among the installed packages"
            ) from error
        raise ValueError(f"policy {name!r} cannot be loaded: {_described(error)}") from error
    except Exception as error:
        raise ValueError(f"policy {name!r} cannot be loaded: {_described(error)}") from error
    found = getattr(module, class_name, None)
    if found is None:
        raise ValueError(f"policy {name!r}: {module.__file__} defines no class {class_name!r}")
    if not (isinstance(found, type) and issubclass(found, Policy)):
        raise ValueError(f"policy {name!r} is not a subclass of penstock.core.policy.Policy")
    return found


def own_failure(error: BaseException | None) -> str:
    """Where in a person's own policy this was raised, and what; "" where none is to blame."""
    if error is None:
        return ""
    found = ""
    step = error.__traceback__
    while step is not None:
        module = str(step.tb_frame.f_globals.get("__name__"))
        if module in _MODULES:
            code = step.tb_frame.f_code
            owner, _, method = code.co_qualname.partition(".")
            inside = f" in {method}" if method else ""
            found = f"policy {module}:{owner} failed{inside} ({code.co_filename}, "
            found += f"line {step.tb_lineno}): {type(error).__name__}: {error}"
        step = step.tb_next
    return found


def _described(error: BaseException) -> str:
    """What was raised while a module was imported, and where in it."""
    text = f"{type(error).__name__}: {error}"
    step = error.__traceback__
    place = ""
    while step is not None:
        if str(step.tb_frame.f_globals.get("__name__")) in _MODULES:
            place = f" ({step.tb_frame.f_code.co_filename}, line {step.tb_lineno})"
        step = step.tb_next
    return text + place
