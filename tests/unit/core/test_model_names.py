"""With and without Ollama's default tag a name is one."""

from random import Random

import pytest

from penstock.core.env import Env
from penstock.core.pool.model_names import other_spelling, without_default_tag
from penstock.core.pool.models import ModelNames, loaded_hash
from tests.unit.core.test_models import pool_of


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("mistral", "mistral:latest"),
        ("mistral:latest", "mistral"),
        ("mistral:7b", ""),
        ("hub.example:5000/team/mistral", "hub.example:5000/team/mistral:latest"),
        ("hub.example:5000/team/mistral:7b", ""),
    ],
)
def test_spellings(name: str, other: str) -> None:
    assert other_spelling(name) == other
    assert without_default_tag(name) == name.removesuffix(":latest")


@pytest.mark.parametrize("listed", ["mistral", "mistral:latest"])
@pytest.mark.parametrize("meant", ["mistral", "mistral:latest"])
@pytest.mark.parametrize("asked", ["chat", "chat:latest"])
def test_an_alias_and_what_it_stands_for_may_have_the_tag_or_not(
    listed: str, meant: str, asked: str
) -> None:
    pool, _ = pool_of({"one": [listed], "two": ["small"]}, ModelNames({"chat": {meant: 1.0}}, {}))
    assert pool.model_for(asked, Env(Random(1))) == listed


@pytest.mark.parametrize("listed", ["mistral", "mistral:latest"])
@pytest.mark.parametrize("meant", ["mistral", "mistral:latest"])
@pytest.mark.parametrize("key", ["big", "big:latest"])
@pytest.mark.parametrize("asked", ["big", "big:latest"])
def test_fallbacks_may_have_the_tag_or_not(listed: str, meant: str, key: str, asked: str) -> None:
    pool, _ = pool_of({"one": [listed], "two": ["small"]}, ModelNames({}, {key: (meant,)}))
    assert pool.model_for(asked, Env(Random(1))) == listed


def test_what_is_loaded_is_known_by_either_name() -> None:
    assert loaded_hash("mistral") == loaded_hash("mistral:latest") != loaded_hash("mistral:7b")


def test_known_names_are_told_once() -> None:
    pool, _ = pool_of({"one": ["mistral", "mistral:latest"]})
    assert pool.known_models() == ["mistral:latest"]
