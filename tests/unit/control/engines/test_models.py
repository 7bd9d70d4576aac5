"""What endpoints serve is found out, and goes out with the next snapshot."""

import json
from collections.abc import AsyncIterator
from itertools import count

import msgspec
import pytest

from penstock.control.endpoint_contexts import EndpointContexts
from penstock.control.engines.model_lists import models_of
from penstock.control.engines.models import EngineModels
from penstock.control.events import Events
from penstock.core.snapshot import Models, Pool, ServedModel, Snapshot
from penstock.wire.engines.reading import UnreadableError
from tests.harness.endpoint import refuse_connections
from tests.harness.http_endpoint import Answer, HttpEndpoint
from tests.harness.world import at
from tests.unit.control.waiting import until
from tests.unit.control.worlds import world

VLLM = b"""{"object": "list", "data": [
    {"id": "llama", "object": "model", "created": 17, "owned_by": "vllm", "root": "/models/llama",
     "parent": null, "max_model_len": 8192, "permission": []},
    {"id": "sql", "object": "model", "created": 18, "owned_by": "vllm", "parent": "llama"}]}"""
OTHER = b'{"data": [{"id": "llama"}]}'


def known_of(body: bytes) -> tuple[ServedModel, ...] | None:
    """What is listed, but for whole descriptions."""
    found = models_of(body)
    return found and tuple(msgspec.structs.replace(each, listed="") for each in found)


def test_models_and_adapters_are_read() -> None:
    assert known_of(VLLM) == (
        ServedModel("llama", "", 17, "vllm", 8192),
        ServedModel("sql", "llama", 18, "vllm"),
    )
    assert models_of(b'{"data": []}') is None  # an engine that loads
    assert models_of(b'{"object": "list", "data": null}') == ()  # Ollama before its first model


def test_descriptions_are_kept_whole_up_to_a_bound() -> None:
    models = models_of(VLLM) or ()
    assert json.loads(models[0].listed)["root"] == "/models/llama"
    huge = json.dumps({"data": [{"id": "a", "meta": "x" * 20_000}]}).encode()
    assert models_of(huge) == (ServedModel("a"),)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (
            {"created": 1.7e9, "max_model_len": 4096.0},
            ServedModel("a", created=1700000000, max_tokens=4096),
        ),
        ({"created": "2026-01-01T00:00:00Z", "owned_by": "me"}, ServedModel("a", owned_by="me")),
        ({"created": 10**30, "max_model_len": -1, "parent": 7}, ServedModel("a")),
        ({"created": None, "parent": {"id": "b"}, "owned_by": ["me"]}, ServedModel("a")),
    ],
)
def test_a_name_counts_whatever_is_told_beside_it(
    told: dict[str, object], expected: ServedModel
) -> None:
    assert known_of(json.dumps({"data": [{"id": "a", **told}]}).encode()) == (expected,)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"data": [{"name": "a"}]}', b"\xff", b'{"data": ' + b"[" * 100_000]
)
def test_what_is_no_list_of_models_is_refused(body: bytes) -> None:
    with pytest.raises(UnreadableError):
        models_of(body)


class Site:
    def __init__(self, events: Events, place: HttpEndpoint) -> None:
        self.place = place
        self.page = VLLM
        self.published: list[Snapshot] = []
        self.status = 200
        self.now = 0.0
        self.events = events
        self.models = EngineModels(events, EndpointContexts(), self.publish, clock=lambda: self.now)
        self.running = world()
        place.answer = lambda request: (
            Answer(self.status, self.page) if request.target == "/v1/models" else Answer(status=404)
        )

    async def publish(self) -> None:
        """As the publisher does: what runs from here on is followed."""
        self.published.append(self.models.mark(self.running))
        self.models.configure(self.published[-1])

    def run(self, discover_s: float = 0.02, **settings: object) -> None:
        endpoints = (at(self.place, row=0, **settings),)
        pool = Pool(name="a", endpoints=endpoints, kind="llm", models=Models(discover_s))
        self.running = world([pool])
        self.models.configure(self.models.mark(self.running))

    def both(self, other: HttpEndpoint) -> Snapshot:
        """A world with both endpoints in one pool, asked seldom."""
        endpoints = (at(self.place, row=0), at(other, row=1))
        return world([Pool(name="a", endpoints=endpoints, kind="llm", models=Models(60.0))])

    def pool(self) -> Pool:
        """As workers are told of it now."""
        return self.models.mark(self.running).pools[0]

    async def asked_again(self) -> None:
        """Several times, with what it answers from here on."""
        asked = len(self.place.requests)
        await until(lambda: len(self.place.requests) > asked + 3, "it is asked again")

    def said(self) -> list[tuple[str, str]]:
        """Level and kind of all that was logged, but for what is served."""
        return [(e.level, e.kind) for e in self.events.recent(100) if e.kind != "engine.models"]

    def served(self) -> list[str]:
        """By the last snapshot that was published."""
        found = self.published[-1].pools[0].discovered.get(self.place.name, ())
        return [model.id for model in found]


@pytest.fixture
async def site(events: Events, endpoint: HttpEndpoint) -> AsyncIterator[Site]:
    made = Site(events, endpoint)
    yield made
    await made.models.stop()


async def test_a_change_is_published_once(site: Site) -> None:
    site.run()
    await until(lambda: len(site.published) == 1, "the models are published")
    assert site.served() == ["llama", "sql"]
    asked = len(site.place.requests)
    await until(lambda: len(site.place.requests) > asked + 3, "it is asked again")
    assert len(site.published) == 1
    site.page = OTHER
    await until(lambda: len(site.published) == 2, "the change is published")
    assert site.served() == ["llama"]


async def test_the_time_of_day_that_engines_tell_with_a_model_is_no_change(site: Site) -> None:
    """vLLM, SGLang and TensorRT-LLM make the description of a model anew for each answer."""
    times = count(1_700_000_000)
    site.place.answer = lambda _: Answer(
        body=b'{"data": [{"id": "llama", "created": %d}]}' % next(times)
    )
    site.run()
    await until(lambda: len(site.published) == 1, "the models are published")
    await site.asked_again()
    assert len(site.published) == 1
    [told] = [each for each in site.events.recent(100) if each.kind == "engine.models"]
    [model] = site.models.mark(site.running).pools[0].discovered[site.place.name]
    assert model.created == 1_700_000_000
    assert told.message.endswith(" serves llama")


async def test_a_model_that_is_gone_is_a_warning(site: Site) -> None:
    site.run()
    await until(lambda: len(site.published) == 1, "the models are published")
    site.page = OTHER
    await until(lambda: len(site.published) == 2, "the change is published")
    last = site.events.recent(1)[0]
    assert (last.level, last.kind) == ("warning", "engine.models")
    assert last.message.endswith(" serves llama, and no longer sql")


async def test_what_was_known_holds_while_an_endpoint_does_not_answer(site: Site) -> None:
    site.run()
    await until(lambda: len(site.published) == 1, "the models are published")
    site.page = b"starting up"
    asked = len(site.place.requests)
    await until(lambda: len(site.place.requests) > asked + 3, "it is asked again")
    assert site.models.mark(site.running).pools[0].discovered


async def test_a_pool_that_no_longer_asks_knows_nothing(site: Site) -> None:
    site.run()
    await until(lambda: len(site.published) == 1, "the models are published")
    site.run(discover_s=0.0)
    assert not site.models.mark(site.running).pools[0].discovered


async def test_an_endpoint_with_configured_models_is_not_asked(
    site: Site, other_endpoint: HttpEndpoint
) -> None:
    told = at(site.place, row=0, models=("llama",))
    asked = at(other_endpoint, row=1)
    other_endpoint.answer = lambda request: Answer(body=OTHER)
    pool = Pool(name="a", endpoints=(told, asked), kind="llm", models=Models(0.02))
    site.running = world([pool])
    site.models.configure(site.models.mark(site.running))
    await until(lambda: len(other_endpoint.requests) > 2, "the other is asked")
    assert site.place.requests == []


@pytest.mark.parametrize(
    ("status", "page", "why"),
    [
        (500, VLLM, "/v1/models answers 500"),
        (401, VLLM, "/v1/models answers 401, so it requires a key: set it with `engine: {headers"),
        (200, b"starting up", "/v1/models cannot be read: "),
        (200, b" " * (5 << 20), "/v1/models answers more than 4 MiB"),
    ],
)
async def test_a_list_that_cannot_be_read_is_told_once_until_it_can(
    site: Site, monkeypatch: pytest.MonkeyPatch, status: int, page: bytes, why: str
) -> None:
    monkeypatch.setattr("penstock.control.engines.models._AGAIN_S", 0.02)
    site.status, site.page = status, page
    site.run()
    await site.asked_again()
    assert site.said() == [("info", "engine.models.unreadable")]
    assert why in site.models.problem("a", site.place.name)
    site.status, site.page = 200, VLLM
    await until(lambda: len(site.published) == 1, "the models are published")
    assert site.said()[1:] == [("info", "engine.models.readable")]
    assert site.models.problem("a", site.place.name) == ""
    site.status, site.page = status, page
    await site.asked_again()
    assert site.said()[2:] == [("warning", "engine.models.unreadable")]
    assert "keeping its last list" in site.events.recent(1)[0].message


async def test_a_server_that_is_down_is_shown_and_left_to_health_checks(site: Site) -> None:
    with refuse_connections() as nobody:
        site.place.port = nobody.getsockname()[1]
        site.run()
        await until(lambda: site.models.problem("a", site.place.name) != "", "it is asked")
    assert site.said() == []


async def test_of_an_endpoint_that_left_nothing_is_told(site: Site) -> None:
    site.status = 500
    site.run()
    await until(lambda: site.models.problem("a", site.place.name) != "", "it is asked")
    site.run(discover_s=0.0)
    assert site.models.problem("a", site.place.name) == ""


async def test_endpoints_are_asked_before_workers_hear_of_them(
    site: Site, other_endpoint: HttpEndpoint
) -> None:
    other_endpoint.answer = lambda _: Answer(body=OTHER)
    site.running = site.both(other_endpoint)
    await site.models.ask_new(site.running)
    pool = site.pool()
    assert [model.id for model in pool.discovered[site.place.name]] == ["llama", "sql"]
    assert [model.id for model in pool.discovered[other_endpoint.name]] == ["llama"]
    assert pool.awaited == ()
    assert pool.asks_again
    site.models.configure(site.models.mark(site.running))
    assert site.published == []  # it stood in the first snapshot


async def test_who_does_not_answer_in_time_is_awaited_and_told_when_it_does(
    site: Site, other_endpoint: HttpEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.control.engines.models._AGAIN_S", 0.02)
    with refuse_connections() as nobody:
        other_endpoint.port, port = nobody.getsockname()[1], other_endpoint.port
        site.running = site.both(other_endpoint)
        other_endpoint.port = port
        await site.models.ask_new(site.running)
        assert len(site.pool().awaited) == 1
        site.models.configure(site.models.mark(site.running))
    site.running = site.both(other_endpoint)
    other_endpoint.answer = lambda _: Answer(body=OTHER)
    site.models.configure(site.models.mark(site.running))
    await until(lambda: len(site.published) > 0, "it is told")
    assert site.pool().awaited == ()


async def test_an_endpoint_that_tells_no_list_may_serve_any_model(
    site: Site, other_endpoint: HttpEndpoint
) -> None:
    other_endpoint.answer = lambda _: Answer(status=404)
    site.running = site.both(other_endpoint)
    await site.models.ask_new(site.running)
    pool = site.pool()
    assert (pool.awaited, set(pool.discovered)) == ((), {site.place.name})


@pytest.mark.parametrize(("status", "for_ever"), [(500, False), (503, True)])
async def test_an_error_is_waited_out_for_a_while_and_loading_for_as_long_as_it_takes(
    site: Site, other_endpoint: HttpEndpoint, status: int, for_ever: bool
) -> None:
    other_endpoint.answer = lambda _: Answer(status=status)
    site.running = site.both(other_endpoint)
    await site.models.ask_new(site.running)
    site.models.configure(site.models.mark(site.running))
    assert site.pool().awaited == (other_endpoint.name,)
    site.now = 10.0
    await site.models.ask_pool("a")
    assert site.pool().awaited == ((other_endpoint.name,) if for_ever else ())


async def test_an_engine_that_lists_no_model_yet_gets_none_and_is_asked_on(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.control.engines.models._AGAIN_S", 0.02)
    site.page = b'{"object": "list", "data": []}'
    site.run(discover_s=60.0)
    await until(lambda: len(site.published) == 1, "it is known to load")
    assert site.pool().awaited == (site.place.name,)
    site.page = VLLM
    await until(lambda: len(site.published) == 2, "its models are published")
    assert (site.pool().awaited, site.served()) == ((), ["llama", "sql"])


async def test_a_look_returns_when_its_news_is_out_and_comes_once_a_second(site: Site) -> None:
    site.run(discover_s=60.0)
    await until(lambda: len(site.published) == 1, "the models are published")
    site.page = OTHER
    await site.models.ask_pool("a")
    assert site.served() == ["llama"]
    asked = len(site.place.requests)
    site.page = VLLM
    await site.models.ask_pool("a")
    assert len(site.place.requests) == asked
    await site.models.ask_pool("a", surely=True)  # a request passed that may have changed them
    assert site.served() == ["llama", "sql"]
    site.now += 1.0
    site.page = OTHER
    await site.models.ask_pool("a")
    assert site.served() == ["llama"]


async def test_what_engines_make_anew_for_each_answer_is_no_change(site: Site) -> None:
    numbers = count()
    site.place.answer = lambda _: Answer(
        body=b'{"data": [{"id": "a", "created": %d, "permission": [{"id": "modelperm-%d"}]}]}'
        % (next(numbers), next(numbers))
    )
    site.run()
    await until(lambda: len(site.published) == 1, "the models are published")
    await site.asked_again()
    assert len(site.published) == 1
