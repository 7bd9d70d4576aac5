"""Changes of endpoints: any sequence of them ends in the same world as the whole snapshots."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from penstock.core.snapshot import Endpoint, Pool, ServedModel, Snapshot
from penstock.core.snapshot.changes import (
    EndpointChanges,
    changed,
    decode_changes,
    endpoint_changes,
)

NAMES = [f"e{number}" for number in range(6)]


def endpoint(name: str, **settings: Any) -> Endpoint:
    return replace(Endpoint(name=name, host="10.0.0.1", port=80), **settings)


def snapshot(generation: int, *pools: Pool, **settings: Any) -> Snapshot:
    made = Snapshot(generation=generation, listeners=(), routes=(), pools=pools)
    return replace(made, **settings)


@st.composite
def pools(draw: st.DrawFn, name: str) -> Pool:
    """Endpoints in the order of their names or in any, some of which told what they serve."""
    names = draw(st.lists(st.sampled_from(NAMES), unique=True))
    if draw(st.booleans()):
        names.sort()
    made = tuple(
        endpoint(
            each,
            row=draw(st.integers(0, 9)),
            weight=draw(st.sampled_from([1.0, 2.0])),
            tls=draw(st.integers(0, 9)) == 0,
            addresses=draw(st.sampled_from([(), ("10.0.0.1",), ("10.0.0.2", "10.0.0.3")])),
            models=draw(st.sampled_from([(), ("llama",)])),
        )
        for each in names
    )
    told: dict[str, tuple[ServedModel, ...]] = {
        each: (ServedModel(draw(st.sampled_from("ab"))),) for each in names[::2]
    }
    return Pool(
        name=name,
        endpoints=made,
        discovered=told if draw(st.booleans()) else {},
        awaited=tuple(names[1::2]) if draw(st.booleans()) else (),
        panic_threshold=0.5 if draw(st.integers(0, 9)) == 0 else 0.0,
    )


WORLDS = st.lists(st.tuples(pools("a"), pools("b")), min_size=1, max_size=8)


def sent(changes: EndpointChanges) -> EndpointChanges:
    """As it arrives at a worker."""
    return decode_changes(msgspec.json.decode(msgspec.json.encode(changes)))


@given(WORLDS)
def test_any_sequence_of_changes_ends_in_the_same_world_as_whole_snapshots(
    worlds: list[tuple[Pool, Pool]],
) -> None:
    running = snapshot(0)
    for generation, world in enumerate(worlds, 1):
        published = snapshot(generation, *world)
        changes = endpoint_changes(running, published)
        running = published if changes is None else changed(running, sent(changes))
        assert running == published


def test_one_endpoint_of_many_is_told_alone() -> None:
    many = tuple(endpoint(f"e{number}") for number in range(100))
    other = (*many[:50], endpoint("e50", weight=3.0), *many[51:])
    before = snapshot(1, Pool(name="a", endpoints=many), Pool(name="b", endpoints=many))
    after = snapshot(2, Pool(name="a", endpoints=many), Pool(name="b", endpoints=other))
    changes = endpoint_changes(before, after)
    assert changes is not None
    [change] = changes.pools
    assert (change.pool, change.placed, change.removed) == ("b", ((50, other[50]),), ())
    assert changed(before, changes) == after


def test_a_row_or_address_given_to_an_endpoint_is_a_change_of_it() -> None:
    before = snapshot(1, Pool(name="a", endpoints=(endpoint("x"),)))
    for given_to_it in ({"row": 3}, {"addresses": ("10.0.0.2",)}, {"no_address": "why"}):
        after = snapshot(2, Pool(name="a", endpoints=(endpoint("x", **given_to_it),)))
        assert endpoint_changes(before, after) is not None


@pytest.mark.parametrize(
    "after",
    [
        snapshot(2, Pool(name="a", endpoints=(endpoint("x"),)), via="another"),
        snapshot(2, Pool(name="a", endpoints=(endpoint("x"),), panic_threshold=0.5)),
        snapshot(2, Pool(name="b", endpoints=(endpoint("x"),))),
        snapshot(2),
        snapshot(2, Pool(name="a", endpoints=(endpoint("x", tls=True),))),
    ],
    ids=["another setting", "a pool's setting", "another pool", "no pool", "first over TLS"],
)
def test_what_changes_more_than_endpoints_is_sent_whole(after: Snapshot) -> None:
    before = snapshot(1, Pool(name="a", endpoints=(endpoint("x"),)))
    assert endpoint_changes(before, after) is None


def test_another_order_of_the_same_endpoints_is_sent_whole() -> None:
    x, y = endpoint("x"), endpoint("y")
    before = snapshot(1, Pool(name="a", endpoints=(x, y)))
    assert endpoint_changes(before, snapshot(2, Pool(name="a", endpoints=(y, x)))) is None


def test_changes_of_another_generation_are_refused_and_say_so() -> None:
    pool = Pool(name="a", endpoints=(endpoint("x"),))
    changes = endpoint_changes(snapshot(4, pool), snapshot(5, pool))
    assert changes is not None
    with pytest.raises(ValueError, match="changes of generation 4 came where generation 3 runs"):
        changed(snapshot(3, pool), changes)
    with pytest.raises(ValueError, match="no pool is called a"):
        changed(snapshot(4), replace(changes, pools=_empty("a")))


def _empty(pool: str) -> Any:
    return decode_changes({"base": 1, "generation": 2, "pools": [{"pool": pool}]}).pools
