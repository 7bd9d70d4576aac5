"""Requests go only to endpoints that serve their model, under the name that is known there."""

from random import Random

import pytest

from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.health.health import DOWN
from penstock.core.policy import create
from penstock.core.pool.models import ModelNames, loaded_hash
from penstock.core.pool.pool import Pool
from penstock.core.request import Request


def pool_of(
    served: dict[str, list[str] | None], names: ModelNames | None = None
) -> tuple[Pool, dict[str, Endpoint]]:
    """A pool whose endpoints serve those models; None where that is not known."""
    pool = Pool("a", create("round-robin", {}))
    pool.names = names or ModelNames({}, {})
    endpoints = {name: Endpoint(name) for name in served}
    for name, models in served.items():
        endpoints[name].models = None if models is None else dict.fromkeys(models, "")
    pool.replace_endpoints(list(endpoints.values()))
    return pool, endpoints


@pytest.fixture
def env() -> Env:
    return Env(Random(1))


def picks(pool: Pool, model: str, env: Env, count: int = 20) -> set[str]:
    found = [pool.pick(Request(model=model), env) for _ in range(count)]
    return {endpoint.name if endpoint is not None else "" for endpoint in found}


def test_only_endpoints_that_serve_the_model_are_picked(env: Env) -> None:
    pool, _ = pool_of({"one": ["big"], "two": ["big", "small"], "three": ["small"]})
    assert picks(pool, "big", env) == {"one", "two"}
    assert picks(pool, "small", env) == {"two", "three"}
    assert picks(pool, "other", env) == {""}
    assert picks(pool, "", env) == {"one", "two", "three"}  # not understood: any


def test_a_model_that_only_backups_serve_is_served_by_them(env: Env) -> None:
    pool, endpoints = pool_of({"one": ["big"], "backup": ["small"], "last": ["small"]})
    endpoints["backup"].priority, endpoints["last"].priority = 1, 2
    pool.refresh()
    assert picks(pool, "big", env) == {"one"}
    assert picks(pool, "small", env) == {"backup"}
    endpoints["backup"].health = DOWN
    pool.refresh()
    assert picks(pool, "small", env) == {"last"}


def test_an_endpoint_whose_models_are_not_known_may_serve_any(env: Env) -> None:
    pool, _ = pool_of({"one": ["big"], "two": None})
    assert picks(pool, "big", env) == {"one", "two"}
    assert picks(pool, "other", env) == {"two"}
    assert pool.model_for("other", env) == "other"


def test_a_model_that_nobody_serves_has_no_name_to_send(env: Env) -> None:
    pool, _ = pool_of({"one": ["big"]}, ModelNames({"chat": {"big": 1.0}}, {}))
    assert pool.model_for("other", env) == ""
    assert pool.known_models() == ["big", "chat"]


def test_without_any_knowledge_names_pass(env: Env) -> None:
    pool, _ = pool_of({"one": None})
    assert pool.model_for("anything", env) == "anything"


def test_an_alias_stands_for_models_by_their_weights(env: Env) -> None:
    names = ModelNames({"chat": {"big": 3.0, "small": 1.0}}, {})
    pool, _ = pool_of({"one": ["big", "small"]}, names)
    found = [pool.model_for("chat", env) for _ in range(4000)]
    assert set(found) == {"big", "small"}
    assert 2800 < found.count("big") < 3200


def test_a_share_whose_model_has_no_endpoint_goes_to_the_others(env: Env) -> None:
    names = ModelNames({"chat": {"big": 3.0, "small": 1.0}}, {})
    pool, endpoints = pool_of({"one": ["big"], "two": ["small"]}, names)
    endpoints["one"].health = DOWN
    pool.refresh()
    assert {pool.model_for("chat", env) for _ in range(50)} == {"small"}


def test_a_fallback_stands_in_while_no_endpoint_serves_the_model(env: Env) -> None:
    names = ModelNames({"chat": {"big": 1.0}}, {"big": ("medium", "small")})
    pool, endpoints = pool_of({"one": ["big"], "two": ["small"]}, names)
    assert pool.model_for("big", env) == "big"
    endpoints["one"].health = DOWN
    pool.refresh()
    assert pool.model_for("big", env) == "small"
    assert pool.model_for("chat", env) == "small"
    endpoints["two"].health = DOWN
    pool.refresh()
    assert pool.model_for("big", env) == "big"  # it exists: unavailable, not unknown


def test_a_name_without_its_default_tag_is_known_as_ollama_knows_it(env: Env) -> None:
    names = ModelNames({}, {"llama3": ("small",)})
    pool, endpoints = pool_of({"one": ["llama3:latest", "qwen:7b"], "two": ["small"]}, names)
    assert pool.model_for("llama3", env) == "llama3:latest"
    assert pool.model_for("llama3:latest", env) == "llama3:latest"
    assert pool.model_for("qwen", env) == ""
    assert pool.model_for("qwen:latest", env) == ""
    endpoints["one"].health = DOWN
    pool.refresh()
    assert pool.model_for("llama3", env) == "small"
    named, _ = pool_of({"one": ["llama3:latest"], "two": ["llama3"]})
    assert named.model_for("llama3", env) == "llama3"


def test_endpoints_that_have_the_adapter_loaded_are_preferred_while_they_have_room(
    env: Env,
) -> None:
    pool, endpoints = pool_of({"one": ["sql"], "two": ["sql"], "three": ["base"]})
    pool.knows_loaded = True
    endpoints["two"].reported.loaded = [loaded_hash("sql")]
    endpoints["two"].reported.waiting = 0
    assert picks(pool, "sql", env) == {"two"}
    endpoints["two"].reported.waiting = 1
    assert picks(pool, "sql", env) == {"one", "two"}


def test_an_engine_that_tells_no_queue_is_preferred_while_few_more_run_there(env: Env) -> None:
    pool, endpoints = pool_of({"one": ["m"], "two": ["m"]})
    pool.knows_loaded = True
    endpoints["two"].reported.loaded = [loaded_hash("m")]
    endpoints["two"].in_flight = 4
    assert picks(pool, "m", env) == {"two"}
    endpoints["two"].in_flight = 5
    assert picks(pool, "m", env) == {"one", "two"}


def test_another_model_stands_in_when_none_of_its_endpoints_is_left(env: Env) -> None:
    names = ModelNames({"any": {"big": 1.0, "small": 1.0}}, {"big": ("gone", "small")})
    pool, endpoints = pool_of({"one": ["big"], "two": ["big"], "three": ["small"]}, names)
    one, two, three = endpoints.values()
    assert pool.is_left("big", [one])
    assert not pool.is_left("big", [one, two])
    for asked in ("big", "any"):
        assert pool.names.stand_in_for(asked)
        assert pool.stand_in(asked, env, [one, two]) == "small"
        assert pool.stand_in(asked, env, [one, two, three]) == ""
    assert not pool.names.stand_in_for("small")
    assert pool.stand_in("small", env, [three]) == ""
    two.draining = True
    pool.refresh()
    assert not pool.is_left("big", [one])


def test_a_model_that_was_given_up_is_passed_over_though_endpoints_are_left(env: Env) -> None:
    names = ModelNames({}, {"big": ("middle", "small")})
    pool, endpoints = pool_of({"one": ["big", "middle"], "two": ["small"]}, names)
    assert pool.stand_in("big", env, [], ["big"]) == "middle"
    assert pool.stand_in("big", env, [], ["big", "middle"]) == "small"
    assert pool.stand_in("big", env, [endpoints["two"]], ["big", "middle"]) == ""


def test_a_backup_of_the_model_goes_before_another_model(env: Env) -> None:
    pool, endpoints = pool_of({"one": ["big"], "two": ["big"], "three": ["small"]})
    endpoints["two"].priority = 1
    pool.refresh()
    assert pool.is_left("big", [endpoints["one"]])
    request = Request(model="big")
    assert pool.candidates(request, [endpoints["one"]]) == [endpoints["two"]]
    assert pool.candidates(request, list(endpoints.values())) == [endpoints["one"]]
    endpoints["two"].draining = True
    pool.refresh()
    assert pool.candidates(request, [endpoints["one"]]) == [endpoints["one"]]


def test_what_stands_in_for_a_name_with_its_default_tag_does_so_without() -> None:
    assert ModelNames({}, {"llama3:latest": ("small",)}).stand_in_for("llama3")
