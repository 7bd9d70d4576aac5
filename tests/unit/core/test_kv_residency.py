"""What a cache holds is known exactly, or not at all."""

from penstock.core.kv_residency import KvResidency


def batch(residency: KvResidency, number: int, *blocks: int) -> bool:
    if not residency.begin(number):
        return False
    for block in blocks:
        residency.stored(block, 16)
    return True


def test_from_the_first_batch_on_the_count_is_exact() -> None:
    residency = KvResidency()
    assert residency.tokens == -1
    batch(residency, 0, 1, 2)
    batch(residency, 1, 2, 3)
    residency.removed(1)
    residency.removed(99)
    assert residency.tokens == 32


def test_a_batch_counts_once() -> None:
    residency = KvResidency()
    batch(residency, 0, 1)
    assert not batch(residency, 0, 2)
    assert residency.tokens == 16


def test_a_gap_that_stays_open_ends_exactness_until_the_cache_is_emptied() -> None:
    residency = KvResidency()
    batch(residency, 0, 1)
    assert residency.gap(2)
    batch(residency, 2, 2)
    batch(residency, 3, 3)
    assert residency.tokens == -1
    residency.cleared()
    batch(residency, 4, 4)
    assert residency.tokens == 16
    assert residency.clears == 1


def test_a_gap_that_is_closed_does_no_harm() -> None:
    residency = KvResidency()
    batch(residency, 0, 1)
    assert residency.gap(3)
    for number in (1, 2, 3):
        batch(residency, number, number + 1)
    assert residency.tokens == 64


def test_a_restarted_engine_holds_nothing_of_what_was() -> None:
    residency = KvResidency()
    batch(residency, 0, 1, 2)
    residency.restarted()
    assert residency.tokens == -1
    batch(residency, 0, 7)
    assert residency.tokens == 16
    assert residency.clears == 1
