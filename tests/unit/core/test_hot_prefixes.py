"""Where matches end again and again, a shared prefix ends."""

from penstock.core.prefixes.hot_prefixes import HotPrefixes


def test_a_block_at_which_many_matches_end_is_the_end_of_a_hot_prefix() -> None:
    hot = HotPrefixes()
    for _ in range(7):
        hot.note(1)
    assert not hot.ends_with(1)
    hot.note(1)
    assert hot.ends_with(1)
    assert not hot.ends_with(2)


def test_what_was_hot_cools_down() -> None:
    hot = HotPrefixes()
    for _ in range(8):
        hot.note(1)
    for other in range(2, 2 + 5 * 4096):
        hot.note(other)
    assert not hot.ends_with(1)


def test_blocks_counted_are_bounded() -> None:
    hot = HotPrefixes()
    for block in range(100_000):
        hot.note(block // 2)
        assert len(hot) <= 2 * 4096
