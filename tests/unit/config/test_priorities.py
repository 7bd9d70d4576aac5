"""Priorities: who may say how important a request is, and what nobody would go by is refused."""

from pathlib import Path

import pytest

from penstock.core import snapshot
from penstock.core.admission.priority import asked_priority, claimed, importance_of
from penstock.core.caller import ANYONE, Caller
from tests.unit.config.documents import errors_of, load

POOL = """\
pools:
  chat:
    endpoints: ["http://10.0.0.1:80"]
    admission:
      queue: 10
      priority_header: X-Priority
      priority_clients: [10.0.0.0/8]
      priorities: {interactive: 0, batch: 100}
"""
CLASSES = snapshot.Admission(priorities={"interactive": 0, "batch": 100}, default_priority=64)


def test_classes_routes_and_clients_are_compiled(tmp_path: Path) -> None:
    made = load(POOL + "routes: [{pool: chat, priority: 7}]\n", tmp_path).snapshot
    admission = made.pools[0].admission
    assert admission.priorities == {"interactive": 0, "batch": 100}
    assert admission.priority_clients == ("10.0.0.0/8",)
    assert made.routes[0].priority == 7


def test_a_class_that_no_pool_knows_is_refused(tmp_path: Path) -> None:
    tenants = "tenants:\n  a: {priority: gold, keys: {k: {sha256: " + "ab" * 32 + "}}}\n"
    (error,) = errors_of(POOL + tenants, tmp_path)
    assert "no pool knows the priority 'gold'" in error
    assert "admission.priorities" in error


def test_a_priority_that_nobody_goes_by_is_refused(tmp_path: Path) -> None:
    pools = 'pools: {chat: {endpoints: ["http://10.0.0.1:80"]}}\n'
    (error,) = errors_of(pools + "routes: [{pool: chat, priority: 7}]\n", tmp_path)
    assert "no pool of the route lets requests wait" in error


@pytest.mark.parametrize(
    ("told", "caller", "importance"),
    [
        (-1, ANYONE, 64),
        (3, ANYONE, 3),
        (-1, Caller("a", priority_class="batch"), 100),
        (0, Caller("a", priority_class="batch"), 100),  # its class is a ceiling
        (500, Caller("a", priority_class="batch"), 500),
        (-1, Caller("a", priority_class="unknown"), 64),
        (5, Caller("a", priority=2), 5),
    ],
)
def test_a_tenants_class_is_a_ceiling(told: int, caller: Caller, importance: int) -> None:
    assert importance_of(told, caller, CLASSES) == importance


@pytest.mark.parametrize(
    ("told", "usual", "caller", "importance"),
    [
        (3, 64, ANYONE, 64),  # nobody makes itself more important than it is
        (3, 9, ANYONE, 9),
        (100, 64, ANYONE, 100),  # and less so it may be
        (3, 64, Caller("a"), 64),
        (3, 64, Caller("a", priority_class="unknown"), 64),
        (3, 64, Caller("a", priority_class="interactive"), 3),  # its class lets it
        (3, 64, Caller("a", priority_class="batch"), 100),
        (5, 64, Caller("a", priority=2), 5),
        (0, 1023, ANYONE, 1023),
        (1022, 1023, Caller("a", priority=0), 1022),
    ],
)
def test_what_somebody_claims_holds_as_far_as_a_tenants_class_lets_it(
    told: int, usual: int, caller: Caller, importance: int
) -> None:
    assert importance_of(claimed(told, usual), caller, CLASSES) == importance


def test_a_header_that_anybody_may_send_is_warned_of(tmp_path: Path) -> None:
    anybody = POOL.replace("      priority_clients: [10.0.0.0/8]\n", "")
    (warning,) = load(anybody, tmp_path).warnings
    assert "pools.chat.admission.priority_header" in warning
    assert "priority_clients" in warning
    assert load(POOL, tmp_path).warnings == ()
    listener = "listeners: {web: {address: ':80', trusted_proxies: [10.0.0.0/8]}}\n"
    assert load(listener + anybody, tmp_path).warnings == ()
    tenants = "tenants:\n  a: {priority: batch, keys: {k: {sha256: " + "ab" * 32 + "}}}\n"
    assert load(anybody + tenants, tmp_path).warnings == ()


@pytest.mark.parametrize(
    ("value", "asked"),
    [(b"0", 0), (b"batch", 100), (b"99999", 1023), (b"-1", -1), (b"gold", -1), (b"1" * 30, -1)],
)
def test_a_header_says_a_number_or_a_class(value: bytes, asked: int) -> None:
    assert asked_priority(value, CLASSES) == asked
