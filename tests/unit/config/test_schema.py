"""The JSON Schema agrees with the loader, and knows every policy."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from penstock.config.describe.schema import schema, schema_text
from penstock.config.load.document import load_document
from penstock.config.load.errors import ConfigError
from penstock.config.load.yaml_tree import read_tree
from penstock.core.policy import policies
from tests.unit.config.documents import FULL, MINIMAL

SCHEMA: dict[str, Any] = json.loads(schema_text())
VALIDATOR = Draft202012Validator(SCHEMA)


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert schema() == SCHEMA


@pytest.mark.parametrize("text", [MINIMAL, FULL])
def test_a_document_that_loads_fits_the_schema(text: str) -> None:
    assert list(VALIDATOR.iter_errors(read_tree(text, {}).value)) == []


@pytest.mark.parametrize(
    "text",
    [
        "endpoints: a:1\nworkers: ${WORKERS}\nshutdown_deadline: ${DEADLINE:-5s}",
        "pools: {a: {endpoints: [{url: a:1, weight: '${W}', backup: '${B}'}], retry: off}}",
    ],
)
def test_any_value_may_come_from_the_environment(text: str) -> None:
    assert list(VALIDATOR.iter_errors(read_tree(text, None).value)) == []


@pytest.mark.parametrize(
    "text",
    [
        "endpoits: [a:1]",
        "endpoints: [{weight: 1}]",
        "endpoints: [{url: a:1, weight: -1}]",
        "policy: round-robn",
        "policy: {name: round-robin, x: 1}",
        "shutdown_deadline: 5 seconds",
        "health_check: {kind: htp}",
        "health_check: {expect_statuses: [2000]}",
        "listeners: {a: {address: a:1, limits: {body_bytes: 1XB}}}",
    ],
)
def test_the_schema_refuses_what_the_loader_refuses(text: str, tmp_path: Path) -> None:
    assert list(VALIDATOR.iter_errors(read_tree(text, {}).value)) != []
    file = tmp_path / "penstock.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError):
        load_document(file)


def test_a_list_of_one_needs_no_brackets_anywhere() -> None:
    """As docs/configuration.md promises of every list."""
    for name, section in {"Document": SCHEMA, **SCHEMA["$defs"]}.items():
        for key, value in section.get("properties", {}).items():
            choices = list(_choices(value))
            if any(choice.get("type") == "array" for choice in choices):
                others = [each for each in choices if each.get("type") not in ("array", "null")]
                assert others, f"{name}.{key} must be a list"


def _choices(value: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The forms that a value may have."""
    if "anyOf" in value:
        for choice in value["anyOf"]:
            yield from _choices(choice)
    else:
        yield value


def test_every_policy_and_option_is_in_the_schema() -> None:
    choices = SCHEMA["$defs"]["Pool"]["properties"]["policy"]["anyOf"][0]["anyOf"]
    named = {choice["const"] for choice in choices if "const" in choice}
    assert named == set(policies())
    options = {
        choice["properties"]["name"]["const"]: set(choice["properties"]) - {"name"}
        for choice in choices
        if choice.get("additionalProperties") is False
    }
    assert options == {
        name: {option.name for option in cls.options} for name, cls in policies().items()
    }


def test_defaults_are_shown_as_a_document_writes_them() -> None:
    parts = SCHEMA["$defs"]
    assert parts["PoolTimeouts"]["properties"]["connect"]["default"] == "2s"
    assert parts["Limits"]["properties"]["body_bytes"]["default"] == "256MiB"
    assert parts["HealthCheck"]["properties"]["expect_statuses"]["default"] == ["200-399"]
    assert SCHEMA["properties"]["workers"]["default"] == "auto"
