"""The prefix index says what was sent where, within its bounds."""

from hypothesis import given
from hypothesis import strategies as st

from penstock.core.endpoint import Endpoint
from penstock.core.prefix_index import PrefixIndex
from penstock.core.request import Request


def prompt(*blocks: int) -> Request:
    """Blocks of 10 tokens each, and 5 tokens more."""
    return Request(blocks=list(blocks), block_tokens=10, prompt_tokens=10 * len(blocks) + 5)


def test_each_endpoint_matches_as_far_as_it_was_sent() -> None:
    index = PrefixIndex()
    a, b, c = Endpoint("a"), Endpoint("b"), Endpoint("c")
    assert index.insert(prompt(1, 2, 3), a) == 0
    assert index.insert(prompt(1, 2, 9), a) == 20
    assert index.insert(prompt(1, 7), b) == 0
    assert index.matches(prompt(1, 2, 3, 4), [a, b, c]) == [30, 10, 0]
    assert index.matches(prompt(5, 2), [a, b, c]) == [0, 0, 0]
    assert index.matches(prompt(), [a]) == [0]


def test_the_ends_of_the_least_recent_prefix_go_first() -> None:
    index = PrefixIndex(max_blocks=4)
    a = Endpoint("a")
    index.insert(prompt(1, 2), a)
    index.insert(prompt(11, 12, 13), a)
    assert index.matches(prompt(1, 2), [a]) == [10]
    assert index.matches(prompt(11, 12, 13), [a]) == [30]


def test_no_more_tokens_than_the_cache_holds() -> None:
    index = PrefixIndex()
    a = Endpoint("a")
    a.kv_capacity = 25
    index.insert(prompt(1, 2), a)
    assert index.overflow(a, 15) == 10
    index.insert(prompt(11), a)
    assert index.matches(prompt(1, 2), [a]) == [10]


def test_an_endpoint_that_was_removed_is_forgotten() -> None:
    index = PrefixIndex()
    a, b, c = Endpoint("a"), Endpoint("b"), Endpoint("c")
    index.insert(prompt(1, 2), a)
    index.insert(prompt(1), b)
    index.retain([b])
    assert index.matches(prompt(1, 2), [a, b]) == [0, 10]
    index.insert(prompt(5), c)  # it takes the slot that became free
    assert index.matches(prompt(1), [b, c]) == [10, 0]
    index.forget(b)
    index.forget(c)
    assert len(index) == 0


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 3), st.lists(st.integers(0, 4), min_size=1, max_size=5)),
        max_size=40,
    )
)
def test_it_never_holds_more_than_its_bound_and_agrees_with_itself(
    steps: list[tuple[int, list[int]]],
) -> None:
    """Blocks are chained: equal ones have equal blocks before them."""
    index = PrefixIndex(max_blocks=6)
    endpoints = [Endpoint(f"e{number}") for number in range(4)]
    for number, path in steps:
        blocks = [hash(tuple(path[: end + 1])) for end in range(len(path))]
        request = prompt(*blocks)
        before = index.matches(request, endpoints)[number]
        assert index.insert(request, endpoints[number]) == before
        assert index.matches(request, endpoints)[number] == 10 * len(blocks)
        assert index.blocks_of(endpoints[number]) <= 6
    assert len(index) <= sum(index.blocks_of(endpoint) for endpoint in endpoints)
