"""A configuration file as plain values, and where in the file each of them stands."""

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from penstock.config.load.environment import interpolate
from penstock.config.load.errors import ConfigError, Location, Position, Problem
from penstock.config.load.yaml_tree import MAX_DEPTH, Tree, read_tree

# Far above any configuration made by people or programs; stops a wrong file early.
_MOST_BYTES: Final = 16 * 1024 * 1024
_TOML_HEADER: Final = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?")
_TOML_KEY: Final = re.compile(
    r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*="""
)
_TOML_PART: Final = re.compile(r"""[\w-]+|"[^"]*"|'[^']*'""")
_TOML_ERROR_AT: Final = re.compile(r" \(at line ([0-9]+), column ([0-9]+)\)$")


def read_source(path: Path, environ: Mapping[str, str]) -> Tree:
    """The values of a YAML, TOML or JSON file, told apart by its suffix (YAML where it has none).

    Raises ConfigError when the file cannot be read or is not in its format.
    """
    text = _read_text(path)
    match path.suffix.lower():
        case ".json":
            tree = read_json(text, environ, str(path))
        case ".toml":
            tree = read_toml(text, environ, str(path))
        case _:
            tree = read_yaml(text, environ, str(path))
    if tree.value is None and not tree.problems:
        raise ConfigError(f"{path}: is empty; it needs at least `endpoints`")
    return tree


def read_yaml(text: str, environ: Mapping[str, str], name: str) -> Tree:
    """The values of a YAML text. Raises ConfigError when it is not YAML."""
    try:
        return read_tree(text, environ)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = Position(mark.line + 1, mark.column + 1) if mark else None
        parts = [part for part in (error.context, error.problem) if part]
        raise _syntax_error(name, at, f"not YAML: {', '.join(parts)}") from error
    except yaml.YAMLError as error:
        reason = str(error).replace("\n", " ")
        raise _syntax_error(name, None, f"not YAML: {reason}") from error


def read_json(text: str, environ: Mapping[str, str], name: str) -> Tree:
    """The values of a JSON text. Raises ConfigError when it is not JSON."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        at = Position(error.lineno, error.colno)
        raise _syntax_error(name, at, f"not JSON: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        raise _syntax_error(name, None, f"not usable JSON: {error}") from error
    # JSON is YAML but for tabs, which JSON allows between values only.
    try:
        tree = read_tree(text.replace("\t", " "), None)
    except yaml.YAMLError:
        tree = Tree()
    tree.value = _interpolated(value, environ, (), tree)
    return tree


def read_toml(text: str, environ: Mapping[str, str], name: str) -> Tree:
    """The values of a TOML text. Raises ConfigError when it is not TOML."""
    try:
        value = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = _TOML_ERROR_AT.search(str(error))
        at = Position(int(found[1]), int(found[2])) if found else None
        reason = _TOML_ERROR_AT.sub("", str(error))
        raise _syntax_error(name, at, f"not TOML: {reason}") from error
    except (ValueError, RecursionError) as error:
        raise _syntax_error(name, None, f"not usable TOML: {error}") from error
    tree = Tree(positions=_toml_positions(text))
    tree.value = _interpolated(value, environ, (), tree)
    return tree


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    if len(data) > _MOST_BYTES:
        raise ConfigError(f"{path}: is over {_MOST_BYTES // 2**20} MiB; is it a configuration?")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise _syntax_error(str(path), Position(line, 1), "not UTF-8 text") from error


def _syntax_error(name: str, at: Position | None, text: str) -> ConfigError:
    place = f"{name}:{at.line}:{at.column}" if at else name
    return ConfigError(f"{place}: {text}", [Problem((), text, at)])


def _interpolated(value: Any, environ: Mapping[str, str], at: Location, tree: Tree) -> Any:
    if len(at) > MAX_DEPTH:
        tree.problems.append(Problem(at, f"nested deeper than {MAX_DEPTH} levels"))
        return None
    match value:
        case dict():
            return {key: _interpolated(value[key], environ, (*at, key), tree) for key in value}
        case list():
            return [
                _interpolated(item, environ, (*at, index), tree) for index, item in enumerate(value)
            ]
        case str():
            try:
                return interpolate(value, environ)
            except ValueError as error:
                tree.problems.append(Problem(at, str(error)))
                return None
    return value


def _toml_positions(text: str) -> dict[Location, Position]:
    """Where keys stand, one a line: ``tomllib`` does not say."""
    positions: dict[Location, Position] = {(): Position(1, 1)}
    table: Location = ()
    counts: dict[Location, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        header = _TOML_HEADER.fullmatch(line)
        if header:
            table = _toml_path(header[2], counts)
            if header[1] == "[[":
                counts[table] = counts.get(table, -1) + 1
                table = (*table, counts[table])
            positions.setdefault(table, Position(number, header.start(2) + 1))
            continue
        key = _TOML_KEY.match(line)
        if key:
            location = table
            for part in _TOML_PART.findall(key[1]):
                location = (*location, part.strip("\"'"))
                positions.setdefault(location, Position(number, key.start(1) + 1))
    return positions


def _toml_path(header: str, counts: dict[Location, int]) -> Location:
    """The keys of a header, with the index of the last item where a key is an array of tables."""
    path: Location = ()
    parts = _TOML_PART.findall(header)
    for index, part in enumerate(parts):
        path = (*path, part.strip("\"'"))
        if path in counts and index + 1 < len(parts):
            path = (*path, counts[path])
    return path
