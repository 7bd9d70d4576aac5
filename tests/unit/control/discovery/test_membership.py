"""The laws of membership: whose word goes first, and what is held, damped, bounded."""

import msgspec
import pytest
from msgspec.structs import replace

from penstock.control.discovery.flapping import FIRST_S, LONGEST_S, WINDOW_S
from penstock.control.discovery.membership import KnownPart, Membership, TooManyError
from penstock.control.discovery.source import API, FILE, SCALER, provider_source
from penstock.core.snapshot import Endpoint
from tests.unit.control.conftest import Clock

DNS = provider_source(0, "dns")
HTTP = provider_source(1, "http")


def at(*places: str, **settings: object) -> list[Endpoint]:
    """Endpoints at ``host:port``."""
    return [
        Endpoint(name="", host=host, port=int(port), **settings)  # type: ignore[arg-type]
        for host, _, port in (place.partition(":") for place in places)
    ]


class Site:
    """The members of one pool, over time."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.changes = 0
        self.membership = Membership(self.clock, on_change=self._on_change)
        self.fixed: tuple[Endpoint, ...] = ()
        self.membership.configure({"main": [DNS, HTTP]}, {"main": ()})

    def _on_change(self) -> None:
        self.changes += 1

    @property
    def members(self) -> list[Endpoint]:
        return list(self.membership.members("main", self.fixed))

    @property
    def names(self) -> list[str]:
        return [each.name for each in self.members]

    def pass_s(self, seconds: float) -> None:
        self.clock.now += seconds
        self.membership.expire()


@pytest.fixture
def site() -> Site:
    return Site()


def test_endpoints_of_all_sources_are_members(site: Site) -> None:
    site.fixed = tuple(replace(each, name="fixed") for each in at("10.0.0.1:80"))
    site.membership.set(API, "main", at("10.0.0.2:80"))
    site.membership.set(DNS, "main", at("10.0.0.3:80", "10.0.0.4:80"))
    assert site.names == ["fixed", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80"]
    assert site.membership.members("other", ()) == ()


def test_who_is_named_twice_is_one_as_the_first_source_describes_it(site: Site) -> None:
    site.membership.set(SCALER, "main", at("a:80", "b:80", "c:80", "d:80", weight=4.0))
    site.membership.set(HTTP, "main", at("a:80", "b:80", "c:80", weight=3.0))
    site.membership.set(DNS, "main", at("a:80", "b:80", weight=2.0))
    site.membership.set(API, "main", at("a:80", weight=1.0))
    assert {each.host: each.weight for each in site.members} == {"a": 1, "b": 2, "c": 3, "d": 4}
    of = site.membership.source_of
    assert [of("main", each) for each in site.members] == [API, DNS, HTTP, SCALER]


def test_the_file_goes_before_all_and_its_word_ends_the_apis(site: Site) -> None:
    site.membership.set(API, "main", at("a:80", weight=5.0))
    site.fixed = tuple(at("a:80", weight=7.0))
    assert [each.weight for each in site.members] == [7.0]
    assert site.membership.source_of("main", site.members[0]) == FILE
    site.membership.configure({}, {"main": site.fixed})
    site.fixed = ()
    assert site.members == []  # the file named it once: when it does no more, it is gone


def test_an_endpoint_keeps_its_name_when_another_source_names_it(site: Site) -> None:
    site.membership.set(HTTP, "main", [replace(at("a:80")[0], name="gpu-1")])
    assert site.names == ["gpu-1"]
    site.membership.set(DNS, "main", [replace(at("a:80")[0], name="other")])
    assert site.names == ["gpu-1"]


def test_a_name_is_one_endpoints(site: Site) -> None:
    site.fixed = (replace(at("a:80")[0], name="gpu"),)
    site.membership.set(DNS, "main", [replace(each, name="gpu") for each in at("b:80", "c:80")])
    assert site.names == ["gpu", "b:80", "c:80"]


def test_a_configured_name_with_one_address_is_the_endpoint_that_is_found_there(site: Site) -> None:
    addresses = {"one": ("10.0.0.1",), "two": ("10.0.0.2", "10.0.0.3")}
    site.membership.addresses_of = lambda host: addresses.get(host, ())
    site.fixed = tuple(replace(each, name=each.host) for each in at("one:80", "two:80"))
    site.membership.set(DNS, "main", at("10.0.0.1:80", "10.0.0.1:81", "10.0.0.2:80"))
    assert site.names == ["one", "two", "10.0.0.1:81", "10.0.0.2:80"]


def test_an_empty_answer_of_a_provider_changes_nothing(site: Site) -> None:
    assert site.membership.set(DNS, "main", at("a:80", "b:80"))
    assert not site.membership.set(DNS, "main", [])
    assert site.names == ["a:80", "b:80"]


def test_the_api_and_a_scaler_may_take_their_last_one_away(site: Site) -> None:
    for source in (API, SCALER):
        assert site.membership.set(source, "main", at("a:80"))
        assert site.membership.set(source, "main", [])
        assert site.names == []


def test_the_order_of_an_answer_is_of_no_account(site: Site) -> None:
    site.membership.set(DNS, "main", at("a:80", "b:80", "c:80"))
    before = site.members
    changes = site.changes
    site.membership.set(DNS, "main", at("c:80", "a:80", "b:80"))
    assert site.changes == changes
    site.membership.set(DNS, "main", at("d:80", "c:80", "a:80"))
    assert site.names == ["a:80", "c:80", "d:80"]
    assert site.members[0] is before[0]  # by which the publisher knows that it did not change


def test_who_leaves_once_leaves_at_once(site: Site) -> None:
    site.membership.set(DNS, "main", at("a:80", "b:80"))
    site.membership.set(DNS, "main", at("a:80"))
    assert site.names == ["a:80"]


def test_who_leaves_and_comes_back_leaves_later_each_time(site: Site) -> None:
    site.membership.set(DNS, "main", at("a:80", "b:80"))
    waits = []
    for _ in range(10):
        site.membership.set(DNS, "main", at("a:80"))
        stayed = 0.0
        while site.names == ["a:80", "b:80"]:
            stayed += 1.0
            site.pass_s(1.0)
        waits.append(stayed)
        site.pass_s(1.0)
        site.membership.set(DNS, "main", at("a:80", "b:80"))
        assert site.names == ["a:80", "b:80"]
    assert waits[:4] == [0.0, FIRST_S, 2 * FIRST_S, 4 * FIRST_S]
    assert max(waits) == LONGEST_S


def test_who_comes_back_while_it_is_kept_stays(site: Site) -> None:
    for _ in range(20):
        site.membership.set(DNS, "main", at("a:80", "b:80"))
        site.membership.set(DNS, "main", at("a:80"))
        site.clock.now += 1.0
        site.membership.set(DNS, "main", at("b:80"))
        site.clock.now += 1.0
    site.membership.set(DNS, "main", at("a:80", "b:80"))
    site.pass_s(2 * LONGEST_S)
    assert site.names == ["a:80", "b:80"]


def test_who_comes_back_after_long_did_not_flap(site: Site) -> None:
    for _ in range(5):
        site.membership.set(DNS, "main", at("a:80", "b:80"))
        site.membership.set(DNS, "main", at("a:80"))
        assert site.names == ["a:80"]
        site.pass_s(WINDOW_S + 1.0)


def test_one_that_left_is_its_sources_until_members_are_asked_for(site: Site) -> None:
    site.membership.set(SCALER, "main", at("a:80", "b:80"))
    [a, _] = site.members
    site.membership.set(SCALER, "main", at("b:80"))
    assert site.membership.source_of("main", a) == SCALER  # the snapshot has it still
    assert site.names == ["b:80"]
    assert site.membership.source_of("main", a) == FILE


def test_what_became_of_some_is_told_without_the_others(site: Site) -> None:
    update = site.membership.update
    assert update(DNS, "main", at("a:80", "b:80"))  # the first answer is all there is
    assert update(DNS, "main", at("c:80"), [("a", 80)])
    assert site.names == ["b:80", "c:80"]
    assert update(DNS, "main", at("b:80", weight=2.0))
    assert [each.weight for each in site.members] == [2.0, 1.0]
    changes = site.changes
    assert update(DNS, "main", at("b:80", weight=2.0), [("nobody", 80)])
    assert site.changes == changes
    assert update(DNS, "main", at("a:80"))
    assert update(DNS, "main", [], [("a", 80)])
    assert site.names == ["b:80", "c:80", "a:80"]  # it flapped, and is kept for a while
    site.pass_s(FIRST_S)
    assert site.names == ["b:80", "c:80"]
    assert not update(DNS, "main", [], [("b", 80), ("c", 80)])  # none would be left
    assert site.names == ["b:80", "c:80"]
    with pytest.raises(TooManyError):
        update(DNS, "main", at("d:80"), most=2)
    assert site.names == ["b:80", "c:80"]


def test_what_the_api_takes_away_is_not_kept(site: Site) -> None:
    for _ in range(5):
        site.membership.add(API, "main", at("a:80")[0])
        assert site.names == ["a:80"]
        assert site.membership.remove(API, "main", ("a", 80))
        assert site.names == []
    assert not site.membership.remove(API, "main", ("a", 80))


def test_the_api_may_exclude_what_others_find_and_not_what_it_names_itself(site: Site) -> None:
    site.membership.set(DNS, "main", at("a:80", "b:80"))
    site.membership.exclude("main", ("a", 80))
    assert site.names == ["b:80"]
    site.membership.add(API, "main", at("a:80", weight=2.0)[0])
    assert site.names == ["b:80", "a:80"]
    site.membership.remove(API, "main", ("a", 80))
    site.membership.exclude("main", ("a", 80), excluded=False)
    assert sorted(site.names) == ["a:80", "b:80"]


def test_too_many_endpoints_change_nothing(site: Site) -> None:
    site.membership.set(DNS, "main", at("a:80"))
    with pytest.raises(TooManyError, match="3 endpoints were found, and `max_endpoints` is 2"):
        site.membership.set(DNS, "main", at("b:80", "c:80", "d:80"), most=2)
    assert site.names == ["a:80"]


def test_all_sources_together_are_bounded() -> None:
    membership = Membership(Clock(), most=3)
    membership.configure({"main": [DNS], "other": [HTTP]}, {})
    membership.set(DNS, "main", at("a:80", "b:80"))
    with pytest.raises(TooManyError, match="where there is room for 1"):
        membership.set(HTTP, "other", at("c:80", "d:80"))
    membership.set(DNS, "main", at("a:80", "b:80", "c:80"))  # instead of its own: there is room


def test_a_replaced_providers_endpoints_stay_until_the_new_one_answered(site: Site) -> None:
    site.membership.configure({"main": [DNS]}, {"main": ()})
    site.membership.set(DNS, "main", at("a:80"))
    site.membership.configure({"main": [HTTP]}, {"main": ()})
    assert site.names == ["a:80"]
    assert not site.membership.set(HTTP, "main", [])  # no answer either
    assert site.names == ["a:80"]
    site.membership.set(HTTP, "main", at("b:80"))
    assert site.names == ["b:80"]


def test_an_answer_before_its_configuration_runs_takes_nothing_away(site: Site) -> None:
    site.membership.set(DNS, "main", at("a:80"))
    new = provider_source(0, "another")
    site.membership.set(new, "main", at("b:80"))  # a reload that may yet be refused
    assert sorted(site.names) == ["a:80", "b:80"]
    site.membership.configure({"main": [DNS]}, {"main": ()})
    assert site.names == ["a:80"]


def test_a_provider_that_is_taken_out_of_the_configuration_takes_its_own_away(site: Site) -> None:
    site.membership.set(DNS, "main", at("a:80"))
    site.membership.set(HTTP, "main", at("b:80"))
    site.membership.set(API, "main", at("c:80"))
    changes = site.changes
    site.membership.configure({"main": [HTTP]}, {"main": ()})
    assert sorted(site.names) == ["b:80", "c:80"]
    assert site.changes == changes + 1
    site.membership.configure({}, {})
    assert site.names == ["c:80"]  # the API's word holds


def test_a_successor_knows_what_was_said(site: Site) -> None:
    site.membership.set(DNS, "main", at("a:80", "b:80"))
    site.membership.set(API, "main", at("c:80", weight=2.0))
    site.membership.exclude("main", ("b", 80))
    encoded = msgspec.json.encode(site.membership.known())
    successor = Site()
    successor.membership.restore(msgspec.json.decode(encoded, type=list[KnownPart]))
    assert {each.name: each.weight for each in successor.members} == {"a:80": 1.0, "c:80": 2.0}
    successor.membership.configure({"main": [DNS]}, {"main": ()})
    assert sorted(successor.names) == ["a:80", "c:80"]  # until its own provider answers
    successor.membership.set(DNS, "main", at("d:80"))
    assert sorted(successor.names) == ["c:80", "d:80"]


def test_what_a_successor_cannot_read_is_left_out(site: Site) -> None:
    known = KnownPart("main", (1, 0, "api", False), [{"name": "x", "new_key": 1}])
    site.membership.restore([known])
    assert site.members == []
