"""A pool whose prompts are computed by some of its endpoints and answered by the others."""

from pathlib import Path

import pytest

from penstock.config.compile.snapshot import load_configuration
from penstock.config.load.errors import ConfigError
from penstock.core import snapshot
from penstock.core.snapshot.split import BY_COST
from tests.unit.config.documents import load

_ENDPOINTS = "[{url: 'http://a:1', name: p}, {url: 'http://b:1', name: d}, 'http://c:1']"


def text(split: str, more: str = "kind: llm", others: str = "") -> str:
    return f"pools: {{main: {{{more}, endpoints: {_ENDPOINTS}, split: {{{split}}}}}{others}}}"


def test_it_becomes_two_pools_of_which_one_takes_requests(tmp_path: Path) -> None:
    made = load(text("prefill: p, threshold: 500, policy: least-request"), tmp_path).snapshot
    answering, computing = made.pools
    assert [each.name for each in answering.endpoints] == ["d", "c:1"]
    assert answering.split == snapshot.Split(prefill="main-prefill", threshold=500)
    assert [each.name for each in computing.endpoints] == ["p"]
    assert (computing.name, computing.prefills_for) == ("main-prefill", "main")
    assert (answering.policy.name, computing.policy.name) == ("marginal-cost", "least-request")
    (route,) = made.routes
    assert [each.pool for each in route.pools] == ["main"]


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (text("prefill: q"), "no endpoint is called 'q'"),
        (text("prefill: p, decode: d"), "'c:1'|c:1 is to be in one of the two halves"),
        (text("prefill: [p, d], decode: [d, 'c:1']"), "d is to be in one of the two halves"),
        (text("prefill: [p, d, 'c:1']"), "no endpoint is left to answer"),
        (text("prefill: p", more="kind: http"), "not of kind llm"),
        (
            text("prefill: p", more="kind: llm, sticky: {cookie: a, keys: [0123456789abcdef]}"),
            "does not go with `sticky`",
        ),
        (text("prefill: p", more="kind: llm, resume: on"), "does not go with `resume`"),
        (
            text("prefill: p", more="kind: llm, websocket_responses: on"),
            "does not go with `split`",
        ),
        (
            text("prefill: p, threshold: auto, policy: least-request"),
            "decided by the policy 'marginal-cost' of both halves, and one has 'least-request'",
        ),
        (text("prefill: p, bootstrap_port: 9"), "has no effect: `connector: nixl`"),
        (text("prefill: p, engine_ids: {p: a}"), "has no effect: `connector: nixl`"),
        (text("prefill: p, connector: mooncake, lease: 9s"), "`connector: mooncake`"),
        (text("prefill: p, connector: mooncake, engine_ids: {d: a}"), "'d' computes no prompts"),
        (text("prefill: p, connector: mooncake, threshold: auto"), "`connector: mooncake`"),
        (text("prefill: p, connector: sglang, threshold: 9"), "`connector: sglang`"),
        (
            text("prefill: p, connector: sglang, bootstrap_ports: {d: 9}"),
            "'d' computes no prompts",
        ),
        (
            text("prefill: p", others=", main-prefill: {endpoints: 'http://e:1'}"),
            "another pool is called 'main-prefill'",
        ),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, document: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load(document, tmp_path)


@pytest.mark.parametrize("name", ["vllm", "sglang"])
def test_the_examples_are_right(name: str) -> None:
    file = Path(__file__).parents[3] / "examples" / "split" / f"{name}.yaml"
    answering, computing = load_configuration(file).snapshot.pools
    assert answering.split is not None
    assert computing.prefills_for == answering.name


@pytest.mark.parametrize(
    ("split", "threshold"),
    [
        ("prefill: p", BY_COST),
        ("prefill: p, threshold: auto", BY_COST),
        ("prefill: p, threshold: 0", 0),
        ("prefill: p, policy: least-request", 1024),
        ("prefill: p, connector: mooncake", 1024),
    ],
)
def test_who_decides_what_is_split(tmp_path: Path, split: str, threshold: int) -> None:
    answering, _ = load(text(split), tmp_path).snapshot.pools
    assert answering.split is not None
    assert answering.split.threshold == threshold


def test_no_route_goes_to_the_computing_half(tmp_path: Path) -> None:
    document = text("prefill: p")[:-1] + "}, routes: [{pool: main-prefill}]}"
    with pytest.raises(ConfigError, match="no pool is called 'main-prefill'"):
        load("{" + document, tmp_path)
