"""What caches hold is told to workers while it is certain, and said when it is not any more."""

from array import array
from random import Random

import pytest

from penstock.control.endpoints.states import EndpointStates
from penstock.control.engines.exact_index import ExactIndex, TrackedCache
from penstock.control.events import Events
from penstock.core.env import Env
from penstock.core.policy import create
from penstock.core.prefixes.kv_chains import CachedChains, seed_of
from penstock.core.request import Request
from penstock.core.snapshot import Connections, PoolTimeouts
from penstock.core.ticket import Ticket
from penstock.dataplane.board.layout import EXACT_SLOTS, R_AT_US, R_COLD, S_EXACT
from penstock.dataplane.board.memory import Board
from penstock.dataplane.endpoint.connector import ConnectionSettings
from penstock.dataplane.io.loop import Loop
from penstock.dataplane.llm.exact_prefixes import FactTable
from penstock.dataplane.llm.sightings import SightingRing
from penstock.dataplane.pool.live_endpoint import LiveEndpoint
from penstock.wire.inspection import Inspection
from penstock.wire.openai import COMPLETION
from tests.unit.control.conftest import Clock
from tests.unit.control.worlds import endpoint, pool, world

BLOCK = 16
TEXT_BLOCK_TOKENS = 64
SILENT_AFTER_S = 5.0


class Site:
    """Two endpoints, ``e2`` and ``e3``, each in the row of its name."""

    def __init__(self, board: Board, events: Events, clock: Clock) -> None:
        self.board = board
        self.events = events
        self.clock = clock
        self.states = EndpointStates(board, events, clock, clock)
        endpoints = (endpoint("e2", row=2), endpoint("e3", row=3))
        snapshot = world([pool("a", endpoints=endpoints, kind="llm")])
        self.states.add_new(snapshot.pools)
        self.states.configure(snapshot.pools)
        self.index = ExactIndex(board, self.states, events, clock)
        self.table = FactTable(board)
        self.ring = SightingRing(board, 0)

    def track(self, row: int) -> TrackedCache:
        return self.index.track(("a", f"e{row}"), row, SILENT_AFTER_S)

    def slot(self, row: int) -> int:
        """In which workers are told to look; -1: they are to believe."""
        return self.board.cells[self.board.state(row) + S_EXACT] - 1

    def reasons(self) -> list[str]:
        """Why endpoints came to be balanced by belief."""
        said = [event for event in self.events.recent(100) if event.kind == "prefix.approximate"]
        return [event.message.rpartition(": ")[2] for event in said]

    def stores(self, cache: TrackedCache, text: str, *, whole: bool = True) -> None:
        """Its engine tells that it stored the tokens of that text."""
        tokens = tokens_of(text)
        parent = None
        for end in range(BLOCK, len(tokens) + 1, BLOCK):
            block = tuple(tokens[:end])
            piece = array("q", tokens[end - BLOCK : end]).tobytes()
            cache.chains.stored([block], parent, piece, BLOCK, seed_of(""), [], self.clock.now)
            parent = block
        cache.heard(whole)

    def answered(self, row: int, text: str) -> None:
        """A worker tells of a prompt of that text that was computed whole."""
        found = Inspection(COMPLETION)
        found.blocks = digests_of(text)
        found.prompt_bytes = 256 * len(text)
        ticket = Ticket(
            live_endpoint(self.board, row), create("round-robin"), Request(), self.clock.now - 0.1
        )
        ticket.first_byte_at = self.clock.now + 0.1
        ticket.prompt_tokens = len(tokens_of(text))
        ticket.cached_tokens = 0
        self.ring.note(found, ticket)

    def learns(self) -> None:
        self.clock.now += 1.0
        self.index.refresh()


def tokens_of(text: str) -> list[int]:
    """Each letter is a block of text, of tokens of its own; one more is a template's."""
    return [ord(each) * 1000 + n for each in text for n in range(TEXT_BLOCK_TOKENS)] + [7]


def digests_of(text: str) -> list[int]:
    return [hash(text[: end + 1]) & (1 << 64) - 1 for end in range(len(text))]


def live_endpoint(board: Board, row: int) -> LiveEndpoint:
    settings = ConnectionSettings(PoolTimeouts(), Connections())
    return LiveEndpoint(endpoint(f"e{row}", row=row), "a", settings, board, 0, Loop(Env(Random(1))))


@pytest.fixture
def site(board: Board, events: Events, clock: Clock) -> Site:
    return Site(board, events, clock)


def test_an_endpoint_whose_events_are_whole_is_relied_on(site: Site) -> None:
    cache = site.track(2)
    assert site.slot(2) == -1
    site.stores(cache, "a")
    assert site.slot(2) == cache.slot >= 0
    site.index.untrack(cache, logged=True)
    assert site.slot(2) == -1
    assert site.reasons() == ["its KV events are no longer read"]


def test_who_ends_reading_on_purpose_is_not_warned(site: Site) -> None:
    cache = site.track(2)
    site.stores(cache, "a")
    site.index.untrack(cache, logged=False)
    assert site.slot(2) == -1
    assert site.reasons() == []


def test_what_was_learned_from_one_holds_for_all_that_are_relied_on(site: Site) -> None:
    one, other = site.track(2), site.track(3)
    site.stores(one, "ab")
    site.answered(2, "ab")
    site.learns()
    for digest in digests_of("ab"):
        assert site.table.holders(digest) == 1 << one.slot
    site.stores(other, "ab")
    for digest in digests_of("ab"):
        assert site.table.holders(digest) == 1 << one.slot | 1 << other.slot
    one.chains.cleared()
    one.heard(True)
    for digest in digests_of("ab"):
        assert site.table.holders(digest) == 1 << other.slot
    other.heard(False)  # an event is missing: nothing is known of it
    for digest in digests_of("ab"):
        assert site.table.holders(digest) == 0
    other.heard(True)
    for digest in digests_of("ab"):
        assert site.table.holders(digest) == 1 << other.slot


def test_after_a_gap_it_is_balanced_by_belief_until_nothing_is_missing(site: Site) -> None:
    cache = site.track(2)
    site.stores(cache, "a")
    cache.heard(False)
    assert site.slot(2) == -1
    assert site.reasons() == ["some of its KV events are missing"]
    cache.heard(True)
    assert site.slot(2) == cache.slot


def test_a_silent_engine_is_balanced_by_belief_whatever_its_events_tell(site: Site) -> None:
    cache = site.track(2)
    read_at = site.board.report(2) + R_AT_US
    site.board.cells[read_at] = round(site.clock.now * 1e6)
    site.stores(cache, "a")
    site.clock.now += SILENT_AFTER_S + 0.1
    for _ in range(3):
        site.index.refresh()
        site.stores(cache, "b")
        assert site.slot(2) == -1
    assert site.reasons() == ["its engine does not respond"]
    site.board.cells[read_at] = round(site.clock.now * 1e6)
    site.index.refresh()
    assert site.slot(2) == cache.slot


def test_an_engine_that_was_never_read_is_not_missed(site: Site) -> None:
    cache = site.track(2)
    site.stores(cache, "a")
    site.clock.now += 100 * SILENT_AFTER_S
    site.index.refresh()
    assert site.slot(2) == cache.slot


def test_a_restarted_engine_is_balanced_by_belief_until_its_events_tell(site: Site) -> None:
    cache = site.track(2)
    site.stores(cache, "a")
    site.board.cells[site.board.report(2) + R_COLD] += 1  # its totals went down
    site.index.refresh()
    assert site.slot(2) == -1
    assert site.reasons() == ["its engine restarted"]
    site.index.refresh()
    assert site.slot(2) == -1
    cache.chains.cleared()
    site.stores(cache, "b")
    assert site.slot(2) == cache.slot


def test_a_restart_that_its_events_told_is_no_news(site: Site) -> None:
    cache = site.track(2)
    site.stores(cache, "a")
    site.board.cells[site.board.report(2) + R_COLD] += 1
    cache.colds += 1
    site.index.refresh()
    assert site.slot(2) == cache.slot


def test_a_cache_with_more_blocks_than_are_followed_is_balanced_by_belief(site: Site) -> None:
    cache = site.track(2)
    cache.chains = CachedChains(max_blocks=6)
    site.stores(cache, "a")
    assert site.slot(2) == cache.slot
    site.stores(cache, "b")
    assert site.slot(2) == -1
    assert site.reasons() == ["its cache has more blocks than can be tracked"]
    cache.chains.cleared()
    site.stores(cache, "b")
    assert site.slot(2) == cache.slot


def test_prompts_of_which_no_event_tells_end_the_reliance(site: Site) -> None:
    cache = site.track(2)
    site.stores(cache, "a")
    for letter in "klmn":
        site.clock.now += 10.0
        site.answered(2, letter)
        site.learns()
    assert site.slot(2) == cache.slot
    site.clock.now += 10.0
    site.answered(2, "o")
    site.learns()
    assert site.slot(2) == -1
    assert site.reasons() == ["it computed prompts without KV events for them"]
    site.stores(cache, "p")
    assert site.slot(2) == cache.slot


def test_where_predictions_part_from_what_is_found_workers_are_to_believe(site: Site) -> None:
    cache = site.track(2)
    site.stores(cache, "a")
    site.states.distrust_hits("a", "e2", 0.5, "half was not there")
    assert site.slot(2) == -1
    [said] = [event for event in site.events.recent(100) if event.kind == "prefix.parted"]
    assert "KV events are ignored meanwhile" in said.message
    site.states.distrust_hits("a", "e2", 0.0, "it is there again")
    assert site.slot(2) == cache.slot


def test_more_endpoints_than_slots_are_balanced_by_belief(site: Site) -> None:
    followed = [site.track(2) for _ in range(EXACT_SLOTS)]
    assert sorted(cache.slot for cache in followed) == list(range(EXACT_SLOTS))
    cache = site.track(3)
    assert cache.slot == -1
    site.stores(cache, "a")
    site.answered(3, "a")
    site.learns()
    assert site.slot(3) == -1
    assert site.reasons() == [
        "only 62 caches are followed exactly; the prefixes that this one holds are estimated"
    ]
    site.index.untrack(followed[0], logged=False)
    assert site.track(3).slot == followed[0].slot
