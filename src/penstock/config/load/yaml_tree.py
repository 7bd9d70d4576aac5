"""YAML as plain values with their places, read from PyYAML's events.

Scalars are resolved by the core schema of YAML 1.2 (10.3.2), so that ``off``, ``no`` and ``12:30``
are text. Aliases and merge keys work; what they expand to is bounded. Tags other than the core
ones are refused.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from penstock.config.load.environment import interpolate
from penstock.config.load.errors import Location, Position, Problem

MAX_DEPTH: Final = 64
MAX_VALUES: Final = 1_000_000  # after aliases are expanded; 10,000 endpoints need 70,000
_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CORE: Final = "tag:yaml.org,2002:"
_NULL: Final = re.compile(r"~|null|Null|NULL|")
_BOOLEAN: Final = re.compile(r"true|True|TRUE|false|False|FALSE")
_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,40}|0o[0-7]{1,40}|0x[0-9a-fA-F]{1,40}")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_INFINITY: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)")
_NAN: Final = re.compile(r"\.(?:nan|NaN|NAN)")


@dataclass
class Tree:
    """A document: its value, the place of every key and item, and what is wrong with it."""

    value: Any = None
    positions: dict[Location, Position] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True)
class _Node:
    """A value with what it costs: how many values it expands to, and how deep it is."""

    value: Any
    values: int = 1
    depth: int = 1


def read_tree(text: str, environ: Mapping[str, str] | None) -> Tree:
    """The only document in ``text``, with ``environ`` put in where it is given.

    Raises yaml.YAMLError when the text is not YAML.
    """
    reader = _Reader(iter(yaml.parse(text, Loader=_LOADER)), environ)
    return reader.read()


def resolve(text: str) -> bool | int | float | str | None:
    """What a plain scalar stands for in the core schema."""
    if _NULL.fullmatch(text):
        return None
    if _BOOLEAN.fullmatch(text):
        return text.lower() == "true"
    if _INTEGER.fullmatch(text):
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _INFINITY.fullmatch(text):
        return float("-inf") if text[0] == "-" else float("inf")
    return float("nan") if _NAN.fullmatch(text) else text


class _Reader:
    def __init__(self, events: Iterator[Any], environ: Mapping[str, str] | None) -> None:
        self._events: Iterator[Any] = events
        self._environ: Mapping[str, str] | None = environ
        self._anchors: dict[str, _Node] = {}
        self._tree: Tree = Tree()
        self._values: int = 0

    def read(self) -> Tree:
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if self._tree.positions.get(()) is not None:
                    self._fail(event, "a configuration is a single document; remove the second")
                self._tree.positions[()] = position_of(event)
                self._tree.value = self._node(next(self._events), (), 1).value
        return self._tree

    def _fail(self, event: Any, text: str) -> None:
        raise yaml.MarkedYAMLError(problem=text, problem_mark=event.start_mark)

    def _problem(self, event: Any, location: Location, text: str) -> None:
        self._tree.positions.setdefault(location, position_of(event))
        self._tree.problems.append(Problem(location, text, position_of(event)))

    def _node(self, event: Any, location: Location, depth: int) -> _Node:
        if depth > MAX_DEPTH:
            self._fail(event, f"nested deeper than {MAX_DEPTH} levels")
        self._tree.positions.setdefault(location, position_of(event))
        match event:
            case yaml.AliasEvent():
                node = self._alias(event, depth)
            case yaml.ScalarEvent():
                node = _Node(self._scalar(event, location))
            case yaml.SequenceStartEvent():
                node = self._sequence(event, location, depth)
            case _:
                node = self._mapping(event, location, depth)
        if getattr(event, "anchor", None) and not isinstance(event, yaml.AliasEvent):
            self._anchors[event.anchor] = node
        if node.values > MAX_VALUES:
            self._fail(event, f"holds more than {MAX_VALUES} values")
        return node

    def _alias(self, event: Any, depth: int) -> _Node:
        node = self._anchors.get(event.anchor)
        if node is None:
            self._fail(event, f"the alias *{event.anchor} stands before or inside its anchor")
            raise AssertionError
        if depth + node.depth > MAX_DEPTH:
            self._fail(event, f"nested deeper than {MAX_DEPTH} levels")
        return node

    def _sequence(self, event: Any, location: Location, depth: int) -> _Node:
        self._refuse_tag(event, location, "seq")
        items: list[Any] = []
        values = deepest = 0
        for item in self._events:
            if isinstance(item, yaml.SequenceEndEvent):
                break
            node = self._node(item, (*location, len(items)), depth + 1)
            items.append(node.value)
            values += node.values
            deepest = max(deepest, node.depth)
        return _Node(items, values + 1, deepest + 1)

    def _mapping(self, event: Any, location: Location, depth: int) -> _Node:
        self._refuse_tag(event, location, "map")
        entries: dict[str, Any] = {}
        merged: list[dict[str, Any]] = []
        values = deepest = 0
        for key_event in self._events:
            if isinstance(key_event, yaml.MappingEndEvent):
                break
            key = self._key(key_event, location, depth)
            inner = (*location, key)
            if key in entries:
                first = self._tree.positions[inner].line
                self._problem(key_event, inner, f"given twice; the first is in line {first}")
            self._tree.positions.setdefault(inner, position_of(key_event))
            node = self._node(next(self._events), inner, depth + 1)
            values += node.values + 1
            deepest = max(deepest, node.depth)
            if key == "<<" and not key_event.style:
                merged += self._merge(key_event, inner, node.value)
            else:
                entries.setdefault(key, node.value)
        for mapping in merged:
            entries = {**mapping, **entries}
        return _Node(entries, values + 1, deepest + 1)

    def _key(self, event: Any, location: Location, depth: int) -> str:
        if isinstance(event, yaml.ScalarEvent):
            return str(event.value)
        self._fail(event, "a key is plain text")
        raise AssertionError

    def _merge(self, event: Any, location: Location, value: Any) -> list[dict[str, Any]]:
        mappings = value if isinstance(value, list) else [value]
        if all(isinstance(mapping, dict) for mapping in mappings):
            return mappings
        self._problem(event, location, "only mappings can be merged")
        return []

    def _scalar(self, event: Any, location: Location) -> Any:
        text = event.value
        if self._environ is not None:
            try:
                text = interpolate(text, self._environ)
            except ValueError as error:
                self._problem(event, location, str(error))
                return None
        if not text and event.value and ":-" not in event.value:
            return text  # a variable that is set and empty is empty text, and not "as if left out"
        if event.tag is None or event.tag == "!":
            return resolve(text) if event.implicit[0] else text
        kind = event.tag.removeprefix(_CORE)
        if kind == "str":
            return text
        self._refuse_tag(event, location, "null", "bool", "int", "float")
        return resolve(text)

    def _refuse_tag(self, event: Any, location: Location, *allowed: str) -> None:
        if event.tag not in (None, "!", *[_CORE + kind for kind in allowed]):
            self._problem(event, location, f"the tag {event.tag} has no meaning here")


def position_of(event: Any) -> Position:
    """Where an event begins."""
    return Position(event.start_mark.line + 1, event.start_mark.column + 1)
