"""From a file or a command line to a checked document, and the place of everything in it."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from penstock.config.document.model import Document, is_extension
from penstock.config.load.errors import ConfigError, Location, Position, Problem, spell
from penstock.config.load.explain import explain
from penstock.config.load.source import read_source, read_yaml


@dataclass(frozen=True)
class Origin:
    """Where a document came from: a file, or the options of a command line."""

    name: str
    directory: Path  # relative paths in the document begin here
    positions: Mapping[Location, Position] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)  # top-level key to option

    def error(self, problems: Sequence[Problem]) -> ConfigError:
        """All of them as one error, in the order of the document."""
        lines = self.lines(problems)
        if len(lines) > 1:
            lines.insert(0, f"{self.name} has {len(lines)} errors:")
        return ConfigError("\n".join(lines), sorted(problems, key=self._order))

    def lines(self, problems: Iterable[Problem]) -> list[str]:
        """Each with its place, in the order of the document."""
        ordered = sorted(problems, key=self._order)
        return list(dict.fromkeys(self._line(problem) for problem in ordered))

    def _position(self, problem: Problem) -> Position | None:
        if problem.position is not None:
            return problem.position
        for length in range(len(problem.location), -1, -1):
            found = self.positions.get(problem.location[:length])
            if found is not None:
                return found
        return None

    def _order(self, problem: Problem) -> Position:
        return self._position(problem) or Position(0, 0)

    def _line(self, problem: Problem) -> str:
        if self.options and problem.location:
            return f"{self.options.get(str(problem.location[0]), self.name)}: {problem.text}"
        place = self.name
        position = self._position(problem)
        if position is not None:
            place += f":{position.line}:{position.column}"
        spelled = spell(problem.location)
        return f"{place}: {spelled}: {problem.text}" if spelled else f"{place}: {problem.text}"


@dataclass(frozen=True)
class Loaded:
    """A document whose every value is right by itself, and where it came from."""

    document: Document
    origin: Origin


def load_document(path: Path, environ: Mapping[str, str] | None = None) -> Loaded:
    """Read and check a file; ``environ`` is the process's own where not given.

    Raises ConfigError with everything that is wrong.
    """
    tree = read_source(path, os.environ if environ is None else environ)
    origin = Origin(str(path), path.absolute().parent, tree.positions)
    return _checked(tree.value, origin, tree.problems)


def load_text(text: str, name: str, directory: Path) -> Loaded:
    """Check a YAML text that is in no file; relative paths in it begin in ``directory``.

    Raises ConfigError with everything that is wrong.
    """
    tree = read_yaml(text, os.environ, name)
    return _checked(tree.value, Origin(name, directory, tree.positions), tree.problems)


def load_arguments(values: dict[str, Any], options: Mapping[str, str]) -> Loaded:
    """Check a document made from a command line; ``options`` names the option of each key.

    Raises ConfigError with everything that is wrong.
    """
    return _checked(values, Origin("the command line", Path.cwd(), options=options), [])


def _checked(value: Any, origin: Origin, problems: Sequence[Problem]) -> Loaded:
    if not isinstance(value, dict):
        raise origin.error(
            [*problems, Problem((), "a configuration is a mapping of keys such as `listen`")]
        )
    own = {key: value[key] for key in value if not is_extension(key)}
    known = {problem.location for problem in problems}
    try:
        document = Document.model_validate(own)
    except ValidationError as error:
        # A value that could not be read is wrong once, not once more for being missing.
        found = [p for p in explain(error, own, Document) if p.location not in known]
        raise origin.error([*problems, *found]) from error
    if problems:
        raise origin.error(problems)
    return Loaded(document, origin)
