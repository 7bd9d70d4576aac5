"""Reads scenarios from files and values."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from penstock.config.compile.own_modules import look_up_beside
from penstock.config.load.document import Origin
from penstock.config.load.errors import Problem
from penstock.config.load.explain import explain
from penstock.config.load.source import read_source
from penstock.sim.scenario import Scenario


def load_scenario(path: Path, changes: Mapping[str, Any] | None = None) -> Scenario:
    """Read a scenario; ``changes`` replace top-level keys, or keys of a top-level mapping.

    Raises ConfigError with everything that is wrong.
    """
    look_up_beside(path)
    tree = read_source(path, os.environ)
    origin = Origin(str(path), path.absolute().parent, tree.positions)
    if tree.problems:
        raise origin.error(tree.problems)
    return _checked(_with_paths(_merged(tree.value, changes or {}), origin.directory), origin)


def scenario_of(values: Mapping[str, Any], options: Mapping[str, str] | None = None) -> Scenario:
    """A scenario from plain values; ``options`` names the option of each key in messages.

    Raises ConfigError with everything that is wrong.
    """
    origin = Origin("the command line", Path.cwd(), options=options or {})
    return _checked(dict(values), origin)


def _merged(value: Any, changes: Mapping[str, Any]) -> Any:
    if not isinstance(value, dict):
        return value
    merged = dict(value)
    for key, change in changes.items():
        if isinstance(change, dict) and isinstance(merged.get(key), dict):
            merged[key] = merged[key] | change
        else:
            merged[key] = change
    return merged


def _with_paths(value: Any, directory: Path) -> Any:
    """A trace named in a file lies relative to that file."""
    prompts = value.get("prompts") if isinstance(value, dict) else None
    if not isinstance(prompts, dict) or not isinstance(prompts.get("trace"), str):
        return value
    trace = directory / Path(prompts["trace"]).expanduser()
    return value | {"prompts": prompts | {"trace": str(trace)}}


def _checked(value: Any, origin: Origin) -> Scenario:
    if not isinstance(value, dict):
        raise origin.error([Problem((), "a scenario is a mapping of keys such as `servers`")])
    try:
        return Scenario.model_validate(value)
    except ValidationError as error:
        raise origin.error(explain(error, value, Scenario)) from error
