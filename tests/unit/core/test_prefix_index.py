"""The prefix index says what was sent where, within its bounds."""

from hypothesis import given
from hypothesis import strategies as st

from penstock.core.endpoint import Endpoint
from penstock.core.prefixes.prefix_index import ExactPrefixes, PrefixIndex
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
    a.reported.kv_capacity = 25
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


class Known(ExactPrefixes):
    """What caches certainly hold: slots by block."""

    def __init__(self, slots: dict[int, list[int]]) -> None:
        self.slots = slots

    def holders(self, block: int) -> int:
        if block not in self.slots:
            return -1
        return sum(1 << slot for slot in self.slots[block])


def followed(name: str, slot: int) -> Endpoint:
    endpoint = Endpoint(name)
    endpoint.exact_slot = slot
    return endpoint


def sent_everywhere(slots: dict[int, list[int]]) -> tuple[PrefixIndex, list[Endpoint]]:
    """Three blocks were sent to two endpoints that are followed and to one that is not."""
    index = PrefixIndex()
    index.exact = Known(slots)
    endpoints = [followed("a", 0), followed("b", 5), Endpoint("c")]
    for endpoint in endpoints:
        index.insert(prompt(1, 2, 3), endpoint)
    return index, endpoints


def believed(index: PrefixIndex, endpoints: list[Endpoint]) -> list[int]:
    return [index.blocks_of(endpoint) for endpoint in endpoints]


def test_a_belief_is_disproved_where_the_cache_does_not_hold_the_block() -> None:
    index, endpoints = sent_everywhere({2: [5]})
    index.disprove(2, 0)
    assert believed(index, endpoints) == [2, 3, 3]
    index.disprove(2, 5)  # it is there
    index.disprove(2, 7)  # nobody's slot
    assert believed(index, endpoints) == [2, 3, 3]
    index.exact = None
    assert index.matches(prompt(1, 2, 3), endpoints) == [10, 30, 30]


def test_a_belief_may_be_looked_at_for_all_that_are_followed() -> None:
    index, endpoints = sent_everywhere({2: []})
    index.disprove(2, -1)
    assert believed(index, endpoints) == [2, 2, 3]  # of the third nothing is told


def test_what_nobody_can_tell_and_what_nobody_believed_stays_as_it_is() -> None:
    index, endpoints = sent_everywhere({9: []})
    for block in (1, 9):
        index.disprove(block, -1)
    assert believed(index, endpoints) == [3, 3, 3]
    index.exact = None
    index.disprove(1, -1)
    assert believed(index, endpoints) == [3, 3, 3]


def test_a_cache_that_is_followed_from_now_on_is_believed_to_hold_nothing_else() -> None:
    index, endpoints = sent_everywhere({1: [0, 5], 2: [5], 3: []})
    index.review(endpoints[0])
    assert believed(index, endpoints) == [1, 3, 3]
    index.review(followed("never used", 1))
    assert believed(index, endpoints) == [1, 3, 3]


def test_disproved_blocks_leave_room_and_can_be_believed_again() -> None:
    index, endpoints = sent_everywhere({3: []})
    a = endpoints[0]
    a.reported.kv_capacity = 30
    assert index.overflow(a, 10) == 10
    index.disprove(3, 0)
    assert index.overflow(a, 10) == 0
    index.insert(prompt(1, 2, 3), a)
    assert believed(index, endpoints)[0] == 3
    index.disprove(3, -1)
    for endpoint in endpoints:
        index.forget(endpoint)
    assert len(index) == 0
