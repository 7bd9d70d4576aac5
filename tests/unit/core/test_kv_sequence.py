"""What a cache holds is known exactly, or not at all."""

from penstock.core.prefixes.kv_sequence import KvSequence


def applied(sequence: KvSequence, *numbers: int) -> list[bool]:
    return [sequence.begin(number) for number in numbers]


def test_from_the_first_batch_on_nothing_is_missing() -> None:
    sequence = KvSequence()
    assert not sequence.whole
    assert applied(sequence, 0, 1, 2) == [True, True, True]
    assert sequence.whole


def test_a_batch_is_applied_once() -> None:
    sequence = KvSequence()
    assert applied(sequence, 0, 0, 1, 0) == [True, False, True, False]
    assert sequence.whole


def test_a_gap_that_stays_open_ends_certainty_until_the_cache_is_emptied() -> None:
    sequence = KvSequence()
    applied(sequence, 0)
    assert sequence.gap(2)
    applied(sequence, 2, 3)
    assert not sequence.whole
    sequence.cleared()
    applied(sequence, 4)
    assert sequence.whole
    assert sequence.clears == 1


def test_a_gap_that_is_closed_does_no_harm() -> None:
    sequence = KvSequence()
    applied(sequence, 0)
    assert sequence.gap(3)
    applied(sequence, 1, 2, 3)
    assert sequence.whole


def test_a_restarted_engine_is_followed_from_its_first_batch() -> None:
    sequence = KvSequence()
    applied(sequence, 0, 1)
    sequence.restarted()
    assert not sequence.whole
    applied(sequence, 0)
    assert sequence.whole
    assert sequence.clears == 1
