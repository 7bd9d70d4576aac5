"""Pools and routes added at run time are held to what configurations are, and may say less."""

from pathlib import Path
from typing import Any

import pytest

from penstock.config.compile.additions import extend
from penstock.config.compile.configured import Addition
from penstock.config.compile.snapshot import Configured
from penstock.config.document.pools import Pool
from penstock.config.document.routes import Route
from penstock.config.document.section import Section, section_of
from penstock.config.load.run_time import (
    MAX_TEXT,
    POOL_KEYS,
    ROUTE_KEYS,
    Allowed,
    refused_keys,
    settings_of,
)
from tests.unit.config.documents import load

# Keys that stand in configurations alone: what runs code, or names files, secrets or commands, and
# what may hold them. One that is new has to be put here or into `run_time`.
_OF_POOLS_IN_FILES_ALONE = {
    "discover",
    "shadow",
    "decisions",
    "sticky",
    "kv_transfers",
    "limits",
    "budgets",
    "resume",
    "websocket_responses",
    "split",
    "admission.priorities",
    "admission.priority_clients",
    "request_headers",
    "response_headers",
    "error_pages",
    "scale",
    "endpoints.kv_events",
    "endpoints.headers",
    "health_check.headers",
    "agent_check.send",
    "engine.*",
    "tls.verify",
    "tls.ca_file",
    "tls.certificate",
    "tls.key",
}
_OF_ROUTES_IN_FILES_ALONE = {
    "name",
    "request_headers",
    "error_pages",
    "tenants",
    "limits",
    "budgets",
    "priority",
    "basic_auth",
    "forward_auth",
}

TWO = """
listeners: {main: {address: "127.0.0.1:8080"}}
pools:
  main: {endpoints: [http://127.0.0.1:9001]}
routes:
  - {name: api, match: {path_prefix: /api}, pool: main}
  - {name: rest, pool: main}
"""


def not_allowed(model: type[Section], allowed: Allowed, prefix: str = "") -> set[str]:
    found: set[str] = set()
    for key, field in model.model_fields.items():
        inner, step = section_of(field.annotation)
        if key not in allowed:
            found.add(prefix + key)
        elif inner is not None and allowed[key] is None:
            found.add(f"{prefix}{key}.*")
        elif inner is not None:
            below = allowed[key]["*"] if step == ".NAME[N]" else allowed[key]
            found |= not_allowed(inner, below, f"{prefix}{key}.")
    return found


def known_keys(model: type[Section], allowed: Allowed) -> bool:
    """Whether each key that is allowed is one of the model's."""
    for key, below in allowed.items():
        if key == "*":
            continue
        inner, _ = section_of(model.model_fields[key].annotation)
        if below is not None and inner is not None and not known_keys(inner, below):
            return False
    return True


def added(
    configured: Configured, *additions: tuple[str, str, dict[str, Any]]
) -> tuple[Configured, dict[str, str]]:
    """With (kind, name, settings); and why those that are left out are."""
    problems: dict[str, str] = {}
    made = extend(
        configured,
        [Addition(name, said) for kind, name, said in additions if kind == "pool"],
        [Addition(name, said) for kind, name, said in additions if kind == "route"],
        lambda kind, name, text: problems.__setitem__(name, text),
    )
    return made, problems


def routes(configured: Configured) -> list[str]:
    return [route.name for route in configured.snapshot.routes]


BLUE = ("pool", "blue", {"endpoints": ["http://10.0.0.3:80"], "policy": "least-request"})


@pytest.fixture
def two(tmp_path: Path) -> Configured:
    return load(TWO, tmp_path)


def test_every_key_is_allowed_or_known_to_stand_in_files_alone() -> None:
    assert not_allowed(Pool, POOL_KEYS) == _OF_POOLS_IN_FILES_ALONE
    assert not_allowed(Route, ROUTE_KEYS) == _OF_ROUTES_IN_FILES_ALONE
    assert known_keys(Pool, POOL_KEYS)
    assert known_keys(Route, ROUTE_KEYS)


def test_a_pool_and_its_route_stand_beside_those_of_the_configuration(two: Configured) -> None:
    route = ("route", "to-blue", {"match": {"path_prefix": "/blue"}, "pool": "blue"})
    made, problems = added(two, BLUE, route)
    assert not problems
    assert [pool.name for pool in made.snapshot.pools] == ["main", "blue"]
    assert made.snapshot.pools[1].policy.name == "least-request"
    assert routes(made) == ["api", "to-blue", "rest"]


def test_a_short_configuration_goes_on_as_it_is(tmp_path: Path) -> None:
    short = load("listen: 127.0.0.1:8080\nendpoints: [http://127.0.0.1:9001]\n", tmp_path)
    route = ("route", "to-blue", {"match": {"hosts": "blue.example"}, "pool": "blue"})
    made, problems = added(short, BLUE, route)
    assert not problems
    assert routes(made) == ["to-blue", "all"]
    assert made.snapshot.routes[1] == short.snapshot.routes[0]


def test_a_listeners_own_pool_is_not_overtaken(tmp_path: Path) -> None:
    text = """
listeners: {a: {address: "127.0.0.1:8080", pool: main}, b: {address: "127.0.0.1:8081"}}
pools: {main: {endpoints: [http://127.0.0.1:9001]}, other: {endpoints: [http://127.0.0.1:9002]}}
"""
    own = load(text, tmp_path)
    said = {"match": {"path": "/x"}, "pool": "main"}
    made, problems = added(own, ("route", "x", said))
    assert (routes(made), problems) == (["a", "x", "all"], {})
    said = {"match": {"path": "/x", "listeners": "a"}, "pool": "main"}
    made, problems = added(own, ("route", "x", said))
    assert routes(made) == ["a", "all"]
    assert "never reached: the route 'a' takes everything" in problems["x"]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"pool": "main"}, "the configuration's rest: never reached: the route 'r' takes"),
        ({"pool": "green"}, "route r: pool: no pool is called 'green'"),
        ({"match": {"listeners": "mian"}, "pool": "main"}, "did you mean 'main'"),
        ({"match": {"path": "x"}, "pool": "main"}, "route r: match.path: "),
        ({"match": {"path": "/x"}}, "give exactly one of `pool`"),
        ({"pool": "main", "request_headers": {}}, "request_headers: cannot be set at run time"),
        ({"pool": "main", "mtach": {}}, "cannot be set at run time, only in the configuration"),
    ],
)
def test_a_route_that_cannot_be_is_told_of(
    two: Configured, said: dict[str, Any], told: str
) -> None:
    made, problems = added(two, ("route", "r", said))
    assert told in problems["r"]
    assert made.snapshot == two.snapshot


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"policy": "penstock.cli.main:Policy"}, "a policy of one's own runs code"),
        ({"policy": {"name": "subset", "policy": "own.module:Policy"}}, "runs code"),
        ({"policy": {"name": "adaptive", "policies": "random, a:B"}}, "runs code"),
        ({"policy": "leest-request"}, "there is no policy 'leest-request'"),
        ({"endpoints": "unix:/run/docker.sock"}, "can only be given in the configuration"),
        ({"endpoints": [{"url": "http://a", "headers": {"authorization": "x"}}]}, "endpoints[0].h"),
        ({"endpoints": "http://127.0.0.1:8080"}, "is Penstock's own listener"),
        ({"endpoints": []}, "a pool needs at least one endpoint"),
        (
            {"endpoints": "http://a", "sticky": {"keys_file": "/etc/shadow"}},
            "sticky: cannot be set",
        ),
        ({"endpoints": "http://a", "tls": {"ca_file": "/x"}}, "tls.ca_file: cannot be set"),
        ({"endpoints": "http://a", "scale": {"process": {}}}, "scale: cannot be set at run time"),
        ({"endpoints": "http://a", "engine": {"headers": {}}}, "engine.headers: cannot be set"),
        ({"endpoints": "http://a", "discover": {"file": "/x"}}, "discover: cannot be set"),
        ({"endpoints": "http://a", "health_check": "soon"}, "health_check: `off`, `tcp`"),
        ({"endpoints": "http://a", "polcy": "random"}, "did you mean 'policy'"),
    ],
)
def test_a_pool_that_cannot_be_is_told_of(two: Configured, said: dict[str, Any], told: str) -> None:
    made, problems = added(two, ("pool", "p", said))
    assert told in problems["p"]
    assert made.snapshot == two.snapshot


@pytest.mark.parametrize(
    "said",
    ["tenants: {team: {keys: {one: {key: a-key-of-more-than-32-characters}}}}", "tenants: {}"],
)
def test_where_there_are_tenants_an_added_route_asks_for_their_keys(
    said: str, tmp_path: Path
) -> None:
    with_tenants = load(TWO + said, tmp_path)
    assert with_tenants.snapshot.routes[0].tenants == "required"
    route = ("route", "to-blue", {"match": {"path_prefix": "/blue"}, "pool": "blue"})
    answer = ("route", "here", {"match": {"path": "/here"}, "respond": 204})
    made, problems = added(with_tenants, BLUE, route, answer)
    assert not problems
    assert {each.name: each.tenants for each in made.snapshot.routes} == {
        "api": "required",
        "to-blue": "required",
        "here": "off",
        "rest": "required",
    }


def test_an_added_route_is_no_way_around_who_may_ask_for_what_is_left(tmp_path: Path) -> None:
    text = """
listeners: {a: {address: "127.0.0.1:8080"}, b: {address: "127.0.0.1:8081"}}
pools: {main: {endpoints: [http://127.0.0.1:9001]}, door: {endpoints: [http://127.0.0.1:9002]}}
routes:
  - {name: open, match: {path_prefix: /open}, pool: main}
  - {name: b, match: {listeners: b}, pool: main}
  - {name: rest, pool: main, forward_auth: {pool: door, path: /check}}
"""
    guarded = load(text, tmp_path)
    said = {"match": {"path": "/x", "listeners": "a"}, "pool": "main"}
    made, problems = added(guarded, ("route", "x", said))
    assert (routes(made), problems) == (["open", "x", "b", "rest"], {})
    assert made.snapshot.routes[1].forward_auth == guarded.snapshot.routes[-1].forward_auth
    assert made.snapshot.routes[1].forward_auth is not None
    _, problems = added(guarded, ("route", "x", {"match": {"path": "/x"}, "pool": "main"}))
    assert "ask different things of clients: say which `listeners`" in problems["x"]


def test_names_are_those_of_configurations(two: Configured) -> None:
    _, problems = added(two, ("pool", "a b", BLUE[2]), ("pool", "main", BLUE[2]))
    assert "a name is letters, digits" in problems["a b"]
    assert "the configuration lists this pool" in problems["main"]


def test_settings_are_a_bounded_text_in_which_no_variable_is_put(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SECRET", "hidden")
    assert settings_of("{pool: '${SECRET}'}") == {"pool": "${SECRET}"}
    assert settings_of('{"pool": "a"}') == {"pool": "a"}
    for text in ("[a]", "a", "{a: b", "x: !!python/object:a {}", " " * (MAX_TEXT + 1)):
        with pytest.raises(ValueError, match="the settings"):
            settings_of(text)


def test_what_repeats_itself_is_bounded() -> None:
    ten = ", ".join(["*a"] * 10)
    text = f"a: &a [{', '.join(['x'] * 10)}]\n"
    for before, after in zip("abcd", "bcde", strict=True):
        text += f"{after}: &{after} [{ten.replace('a', before)}]\n"
    [problem] = refused_keys({"endpoints": list(settings_of(text).values())}, POOL_KEYS)
    assert "more than 10000 values" in problem.text
