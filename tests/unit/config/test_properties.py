"""Laws of the configuration, over documents made by chance."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from penstock.config.compile.snapshot import compile_document
from penstock.config.describe.schema import schema
from penstock.config.load.document import load_document
from penstock.config.load.errors import ConfigError
from penstock.core.snapshot import decode_snapshot
from tests.unit.config.documents import FULL, MINIMAL
from tests.unit.config.strategies import documents

# The same directory serves every example: each writes its file anew.
_SHARED_DIRECTORY = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
_VALIDATOR = Draft202012Validator(schema())


class _QuotingDumper(yaml.SafeDumper):
    """PyYAML leaves a text like 0E0 bare, which is none of YAML 1.1's numbers but one of 1.2's."""


_QuotingDumper.add_representer(
    str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"')
)


@given(document=documents())
@settings(_SHARED_DIRECTORY, max_examples=25)
def test_a_right_document_compiles_and_its_snapshot_survives_the_journey(
    document: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "penstock.yaml"
    file.write_text(yaml.dump(document, Dumper=_QuotingDumper, sort_keys=False))
    snapshot = compile_document(load_document(file, {}), file).snapshot
    assert decode_snapshot(snapshot.encode()) == snapshot
    assert [pool.name for pool in snapshot.pools] == list(document["pools"])


@given(document=documents())
@settings(_SHARED_DIRECTORY, max_examples=15)
def test_json_and_yaml_say_the_same_and_fit_the_schema(
    document: dict[str, Any], tmp_path: Path
) -> None:
    as_yaml, as_json = tmp_path / "penstock.yaml", tmp_path / "penstock.json"
    as_yaml.write_text(yaml.dump(document, Dumper=_QuotingDumper, allow_unicode=True))
    as_json.write_text(json.dumps(document))
    assert load_document(as_yaml, {}).document == load_document(as_json, {}).document
    assert list(_VALIDATOR.iter_errors(document)) == []


_MARKS = " \n\t:-[]{},&*!|>'\"#%@`?~$<=.\0\ufeff\x85\u2028"
_PIECES = (
    *("<<: ", "*a", "&a ", "!!int ", "${A}", "${", "---\n", "...\n", "%YAML 1.1\n", "\\ud800"),
    *("1e999", "0x", ".nan", "off", "listen: ", "endpoints: [", "http://a:1", "pools:\n  a:\n    "),
    *("routes:\n- ", "match: {", "policy: "),
)
_FRAGMENTS = st.sampled_from([*_MARKS, *_PIECES])


@st.composite
def _damaged(draw: st.DrawFn) -> str:
    """A right document with pieces taken out of it and others put in."""
    text = draw(st.sampled_from([MINIMAL, FULL]))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 20)))
        text = text[:start] + draw(_FRAGMENTS) + text[end:]
    return text


_TEXTS = st.one_of(
    _damaged(), st.text(), st.lists(_FRAGMENTS | st.text(max_size=5), max_size=30).map("".join)
)


def _loads_or_is_refused(file: Path) -> None:
    refusal = ""
    try:
        compile_document(load_document(file, {"A": "1"}), file)
    except ConfigError as error:
        refusal = str(error)
    assert refusal == "" or str(file) in refusal


@given(text=_TEXTS, suffix=st.sampled_from([".yaml", ".json", ".toml"]))
@settings(_SHARED_DIRECTORY, max_examples=150)
def test_any_text_loads_or_is_refused_with_an_explanation(
    text: str, suffix: str, tmp_path: Path
) -> None:
    file = tmp_path / f"penstock{suffix}"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    _loads_or_is_refused(file)


@given(data=st.binary())
@settings(_SHARED_DIRECTORY, max_examples=100)
def test_any_bytes_load_or_are_refused_with_an_explanation(data: bytes, tmp_path: Path) -> None:
    file = tmp_path / "penstock.yaml"
    file.write_bytes(data)
    _loads_or_is_refused(file)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


_FULL: dict[str, Any] = yaml.safe_load(FULL)


@st.composite
def _with_a_foreign_value(draw: st.DrawFn) -> dict[str, Any]:
    """The full document with some value in it replaced by any other."""
    document = deepcopy(_FULL)
    node: Any = document
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = draw(st.sampled_from(keys))
        inner = node[key]
        if not isinstance(inner, (dict, list)) or not inner or draw(st.integers(0, 3)) == 0:
            node[key] = draw(_VALUES)
            return document
        node = inner


@given(document=_with_a_foreign_value())
@settings(_SHARED_DIRECTORY, max_examples=40)
def test_any_value_anywhere_is_taken_or_refused_with_an_explanation(
    document: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "penstock.json"
    file.write_text(json.dumps(document))
    _loads_or_is_refused(file)
