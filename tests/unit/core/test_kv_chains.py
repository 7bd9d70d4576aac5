"""Prefixes have names that are the same in every engine, and are there or not."""

from array import array

from hypothesis import given
from hypothesis import strategies as st

from penstock.core.prefixes.kv_chains import GRANULE_TOKENS, RECENT_BLOCKS, CachedChains, seed_of

SEED = seed_of("")


def packed(tokens: list[int]) -> bytes:
    return array("q", tokens).tobytes()


def store(
    cache: CachedChains, tokens: list[int], size: int, at: float = 0.0, adapter: str = ""
) -> None:
    """A prompt's whole blocks; a block is known to its engine by all tokens up to its end."""
    parent = None
    for end in range(size, len(tokens) + 1, size):
        block = (adapter, tuple(tokens[:end]))
        if block not in cache._blocks:
            piece = packed(tokens[end - size : end])
            cache.stored([block], parent, piece, size, seed_of(adapter), [], at)
        parent = block


def names(tokens: list[int], size: int = GRANULE_TOKENS) -> list[int]:
    """Of the prompt's prefixes, one for each GRANULE_TOKENS."""
    cache = CachedChains()
    store(cache, tokens, size)
    [chain] = cache.stored_between(len(tokens) // size * size, 0.0, 1.0)
    return chain.path()


def test_names_do_not_depend_on_the_size_of_blocks() -> None:
    tokens = list(range(192))
    told = [names(tokens, size) for size in (1, 8, 12, 16, 32, 48, 64)]
    assert len(told[0]) == 192 // GRANULE_TOKENS
    assert all(each == told[0] for each in told)


def test_adapters_and_salts_are_others() -> None:
    tokens = list(range(32))
    cache = CachedChains()
    store(cache, tokens[:16], 16)
    store(cache, tokens[:16], 16, adapter="sql")
    cache.stored(["b"], None, packed(tokens[:16]), 16, SEED, [b"salt"], 0.0)
    assert len({chain.last for chain in cache.stored_between(16, 0.0, 1.0)}) == 3


def test_blocks_behind_an_unknown_one_get_no_name() -> None:
    cache = CachedChains()
    cache.stored(["b"], "missing", packed(list(range(16))), 16, SEED, [], 0.0)
    cache.stored(["c"], "b", packed(list(range(16))), 16, SEED, [], 0.0)
    cache.stored(["d"], None, b"", 16, SEED, [], 0.0)
    assert cache.take_changed() == []
    for block in ("b", "c", "d"):
        cache.removed(block)


def test_a_chain_tells_what_of_it_was_computed_since() -> None:
    cache = CachedChains()
    tokens = list(range(64))
    store(cache, tokens[:32], 16, at=1.0)
    store(cache, tokens, 16, at=5.0)
    [chain] = cache.stored_between(64, 4.0, 6.0)
    assert chain.computed_since(32, 4.0)
    assert not chain.computed_since(16, 4.0)  # that was there before
    assert not chain.computed_since(48, 6.0)
    assert cache.stored_between(64, 5.1, 9.0) == []


step = st.tuples(
    st.sampled_from(["store", "store", "store", "remove", "clear"]),
    st.lists(st.integers(0, 1), min_size=1, max_size=4),
)


@given(st.lists(step, max_size=40), st.sampled_from([8, 16, 32]))
def test_it_holds_what_a_plain_set_of_blocks_does(
    steps: list[tuple[str, list[int]]], size: int
) -> None:
    cache = CachedChains()
    there: set[tuple[int, ...]] = set()
    known: dict[tuple[int, ...], int] = {}  # prefixes and their names, as far as they were seen
    told: dict[int, bool] = {}
    for what, path in steps:
        tokens = [digit for digit in path for _ in range(32)]
        if what == "store":
            store(cache, tokens, size)
            for end in range(size, len(tokens) + 1, size):
                there.add(tuple(tokens[:end]))
            for index, name in enumerate(names(tokens)):
                known[tuple(tokens[: (index + 1) * GRANULE_TOKENS])] = name
        elif what == "remove":
            leaves = [
                b for b in there if not any(len(o) > len(b) and o[: len(b)] == b for o in there)
            ]
            if leaves:
                gone = max(leaves)
                there.discard(gone)
                cache.removed(("", gone))
        else:
            there.clear()
            cache.cleared()
        for prefix, name in known.items():
            held = any(len(b) >= len(prefix) and b[: len(prefix)] == prefix for b in there)
            assert cache.holds(name) == held
        for name in cache.take_changed():
            told[name] = cache.holds(name)
        assert {name for name, held in told.items() if held} == {
            name for name in known.values() if cache.holds(name)
        }


def test_tokens_of_all_blocks_are_counted_once_also_where_their_beginning_is_not_known() -> None:
    cache = CachedChains()
    store(cache, list(range(32)), 16)
    cache.stored(["x", "y"], "missing", b"", 32, SEED, [], 0.0)
    assert cache.tokens == 32 + 64
    cache.stored(["x"], None, packed(list(range(16))), 16, SEED, [], 0.0)  # another size
    assert cache.tokens == 32 + 32 + 16
    for block in ("x", "x", "y", "y", "never there"):
        cache.removed(block)
    assert cache.tokens == 32
    cache.cleared()
    assert cache.tokens == 0


def test_a_block_is_there_until_the_last_of_its_copies_is_gone() -> None:
    """vLLM keeps those that prompts computed at the same time, and tells of each that goes."""
    cache = CachedChains()
    tokens = packed(list(range(16)))
    for _ in range(3):
        cache.stored(["b"], None, tokens, 16, SEED, [], 0.0)
    [name] = set(cache.take_changed())
    for _ in range(2):
        cache.removed("b")
        assert (cache.holds(name), cache.tokens) == (True, 16)
    cache.removed("b")
    assert (cache.holds(name), cache.tokens) == (False, 0)
    cache.stored(["b"], None, tokens, 16, SEED, [], 0.0)
    cache.stored(["b"], None, tokens, 16, SEED, [], 0.0)
    cache.cleared()
    cache.stored(["b"], None, tokens, 16, SEED, [], 0.0)
    cache.removed("b")
    assert not cache.holds(name)


def test_what_is_followed_is_bounded_and_says_when_it_is_not_all() -> None:
    cache = CachedChains(max_blocks=4)
    cache.stored(["a", "b", "c", "d"], None, b"", 16, SEED, [], 0.0)
    assert (cache.tokens, cache.overfull) == (64, False)
    cache.stored(["d"], None, b"", 16, SEED, [], 0.0)  # no more than there were
    assert (cache.tokens, cache.overfull) == (64, False)
    cache.stored(["e"], None, b"", 16, SEED, [], 0.0)
    assert (cache.tokens, cache.overfull) == (-1, True)
    cache.removed("a")
    assert (cache.tokens, cache.overfull) == (-1, True)  # "e" may be there or not
    cache.cleared()
    assert (cache.tokens, cache.overfull) == (0, False)


def test_what_was_stored_lately_is_remembered_up_to_a_bound() -> None:
    cache = CachedChains()
    tokens = packed([0] * 16)
    for number in range(RECENT_BLOCKS + 10):
        cache.stored([number], None, tokens, 16, SEED, [], float(number))
        cache.removed(number)
    assert cache.tokens == 0
    assert len(cache.stored_between(16, 0.0, 1e9)) == RECENT_BLOCKS
    assert cache.stored_between(16, 0.0, 9.0) == []
