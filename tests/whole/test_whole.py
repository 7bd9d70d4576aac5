"""Runs of chance that are part of every test; ``make test-whole`` has more of them."""

import pytest

from tests.whole.episode import Episode, Failed

STEPS = 1200


@pytest.mark.parametrize("seed", range(1, 9))
def test_every_request_ends_once_and_nothing_stays_behind(seed: int) -> None:
    with Episode(seed) as episode:
        episode.run(STEPS)


def test_a_seed_says_all_that_happens() -> None:
    events = []
    for _ in range(2):
        with Episode(11) as episode:
            episode.run(500)
        events.append([str(each) for each in episode.kernel.events])
    assert events[0] == events[1]


def test_a_byte_that_is_lost_is_seen() -> None:
    """Or none of this would show anything."""
    with (
        pytest.raises(Failed, match=r"python -m tests\.whole --seed \d+ --steps \d+$"),
        Episode(1, loses=0.02) as episode,
    ):
        episode.run(STEPS)


def test_a_descriptor_that_is_left_open_is_seen() -> None:
    with Episode(5) as episode:
        episode.kernel.come(episode.kernel.listen())
        with pytest.raises(Failed, match="connections are open, and"):
            episode.run(STEPS)
