"""Which tokens a text is gets learned where it is certain, and only there."""

from penstock.core.prefixes.kv_chains import CachedChains
from penstock.core.prefixes.prefix_learner import PrefixLearner, Sighting
from tests.unit.core.test_kv_chains import names, store

BLOCK = 16
TEXT_BYTES = 256  # of a text block
TEXT_TOKENS = 64


def tokens_of(text: str) -> list[int]:
    """Each letter is a text block of its own tokens, with a few of a template's at the end."""
    return [ord(letter) * 1000 + n for letter in text for n in range(TEXT_TOKENS)] + [7, 7, 7]


def seen(text: str, sent: float, first: float, cached: int = 0) -> Sighting:
    digests = [hash(text[: end + 1]) & 0xFFFFFFFF for end in range(len(text))]
    ends = [TEXT_BYTES * (end + 1) for end in range(len(text))]
    return Sighting(0, sent, first, len(tokens_of(text)), cached, digests, ends, ends[-1])


def digest(text: str) -> int:
    return hash(text) & 0xFFFFFFFF


def computed(cache: CachedChains, text: str, at: float) -> None:
    store(cache, tokens_of(text), BLOCK, at)


def test_the_only_chain_of_that_time_and_length_is_the_prompts() -> None:
    cache, learner = CachedChains(), PrefixLearner()
    computed(cache, "abc", 1.0)
    assert learner.learn(seen("abc", 0.9, 1.1), cache)
    path = names(tokens_of("abc"))
    assert learner.name_of(digest("abc")) in path
    assert learner.name_of(digest("a")) in path[3:5]
    assert set(learner.take_changed()) == {digest("a"), digest("ab"), digest("abc")}


def test_what_was_there_before_or_is_of_another_length_teaches_nothing() -> None:
    cache, learner = CachedChains(), PrefixLearner()
    computed(cache, "ab", 0.5)
    computed(cache, "abc", 1.0)
    assert not learner.learn(seen("xyz", 2.0, 2.5), cache)  # too late
    assert not learner.learn(seen("wxyz", 0.9, 1.1), cache)
    assert not learner.learn(seen("xyz", 0.9, 1.1), cache)  # that chain's beginning was there
    assert learner.learn(seen("xyz", 0.9, 1.1, cached=192), cache)  # nothing had to be stored
    assert learner.learn(seen("xyz", 0.9, 1.1, cached=-1), cache)  # the engine does not tell
    assert len(learner) == 0


def test_of_two_that_fit_only_what_they_share_is_learned() -> None:
    cache, learner = CachedChains(), PrefixLearner()
    computed(cache, "sab", 1.0)
    computed(cache, "sxy", 1.0)
    learner.learn(seen("sab", 0.9, 1.1), cache)
    assert learner.name_of(digest("s")) in names(tokens_of("s"))
    assert learner.name_of(digest("sab")) == -1
    computed(cache, "cab", 1.0)
    other = PrefixLearner()
    other.learn(seen("sab", 0.9, 1.1), cache)
    assert len(other) == 0


def test_what_remains_of_several_sightings_is_learned() -> None:
    cache, learner = CachedChains(), PrefixLearner()
    for number, (mine, others) in enumerate((("sa", "xp"), ("sb", "yq"), ("sc", "zr"))):
        at = 10.0 * number
        cache.cleared()
        computed(cache, mine, at)
        computed(cache, others, at)
        assert learner.name_of(digest("s")) == -1
        learner.learn(seen(mine, at - 0.1, at + 0.1), cache)
    assert learner.name_of(digest("s")) in names(tokens_of("s"))
    assert learner.name_of(digest("sa")) == -1


def test_a_beginning_that_is_known_tells_chains_apart() -> None:
    cache, learner = CachedChains(), PrefixLearner()
    computed(cache, "abcd", 1.0)
    learner.learn(seen("abcd", 0.9, 1.1), cache)
    cache.cleared()
    computed(cache, "abcx", 5.0)
    computed(cache, "mnop", 5.0)
    learner.learn(seen("abcx", 4.9, 5.1), cache)
    assert learner.name_of(digest("abcx")) in names(tokens_of("abcx"))
    assert learner.name_of(digest("abcx")) != learner.name_of(digest("abc"))


def test_what_is_contradicted_is_forgotten_and_not_learned_again() -> None:
    cache, learner = CachedChains(), PrefixLearner()
    computed(cache, "abcdefgh", 1.0)
    learner.learn(seen("stuvwxyz", 0.9, 1.1), cache)  # another client's, by bad luck
    assert learner.name_of(digest("stuvwxyz")) >= 0
    computed(cache, "stuvwxyz", 5.0)
    for _ in range(2):
        learner.learn(seen("stuvwxyz", 4.9, 5.1), cache)
        assert len(learner) == 0


def test_no_more_is_learned_than_fits_and_ends_go_before_beginnings() -> None:
    cache, learner = CachedChains(), PrefixLearner(max_learned=4)
    computed(cache, "abcdef", 1.0)
    learner.learn(seen("abcdef", 0.9, 1.1), cache)
    assert len(learner) == 4
    assert learner.name_of(digest("a")) >= 0
    assert learner.name_of(digest("abcdef")) == -1
