"""Forecasts of pools: from counters to steps, over reloads and restarts, and what is shown."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from msgspec.structs import replace

from penstock.admin.metrics import render_metrics
from penstock.admin.view import UnknownNameError
from penstock.control.commands.forecast import ShowForecast
from penstock.control.events import Events
from penstock.control.forecasts.forecasts import Forecasts
from penstock.control.forecasts.totals import ALL_MODELS, REQUESTS, Load
from penstock.control.parts import Parts
from penstock.control.store.files import StateFiles
from penstock.core.snapshot import Forecast, Pool
from penstock.dataplane.board.layout import P_REQUESTS
from penstock.dataplane.board.memory import Board
from penstock.dataplane.board.model_counters import ModelCounters
from tests.unit.admin.balancer import overview
from tests.unit.admin.balancer import pool as shown_pool
from tests.unit.control.conftest import Clock
from tests.unit.control.worlds import pool, world

SPEC = Forecast(method="last-value", step_s=10.0, seasons_s=(), horizon_s=60.0, lead_s=30.0)
ALL = Load(ALL_MODELS, REQUESTS)


class Site:
    """Forecasts over a board whose counters are moved by hand."""

    def __init__(self, board: Board, files: StateFiles, events: Events, clock: Clock) -> None:
        self.board, self.files, self.events, self.clock = board, files, events, clock
        self.forecasts = Forecasts(board, files, events, clock)
        self.models = ModelCounters(board, 0, 0)

    def configure(self, *pools: Pool) -> None:
        self.pools = pools
        self.forecasts.configure(world(pools))

    def requests(self, count: int, row: int = 0, worker: int = 0) -> None:
        self.board.cells[self.board.pool(row, worker) + P_REQUESTS] += count

    async def steps(self, *counts: int) -> None:
        """Each of ten seconds, with so many requests."""
        for count in counts:
            self.requests(count)
            self.clock.now += 10.0
            await self.forecasts.look()

    def expected(self, name: str = "a") -> float | None:
        forecast = self.forecasts.of(name)
        assert forecast is not None
        return forecast.most(ALL, 0.5, 30.0)

    @property
    def parts(self) -> Parts:
        publisher = SimpleNamespace(running=world(self.pools))
        return cast(Parts, SimpleNamespace(publisher=publisher, forecasts=self.forecasts))


def forecast_pool(name: str = "a", row: int = 0, spec: Forecast = SPEC, **settings: Any) -> Pool:
    return pool(name, "e1", row=row, forecast=spec, **settings)


@pytest.fixture
def site(board: Board, events: Events, clock: Clock, tmp_path: Path) -> Site:
    clock.now = 1_800_000_000.0  # the beginning of a step
    made = Site(board, StateFiles(tmp_path, events), events, clock)
    made.configure(forecast_pool())
    return made


async def test_requests_of_all_workers_are_counted_by_step(site: Site) -> None:
    await site.steps(0, 50, 50, 50)
    assert site.expected() == pytest.approx(5.0, rel=0.1)  # per second
    site.requests(300, worker=1)
    await site.steps(0)
    assert site.expected() == pytest.approx(30.0, rel=0.3)


async def test_nothing_is_told_before_enough_was_seen(site: Site) -> None:
    await site.steps(5, 5, 5)
    assert site.expected() is None
    assert site.forecasts.views("a") == ()
    await site.steps(5)
    assert site.expected() is not None


async def test_nothing_is_read_within_a_step(site: Site) -> None:
    await site.steps(0, 50, 50, 50)
    site.clock.now += 6.0
    site.requests(1000)
    await site.forecasts.look()
    assert site.expected() == pytest.approx(5.0, rel=0.1)


async def test_a_pool_without_a_forecast_has_none(site: Site) -> None:
    site.configure(forecast_pool(), pool("b", "e1", row=1))
    await site.steps(1, 1, 1, 1)
    assert site.forecasts.of("b") is None
    assert site.forecasts.views("b") == ()


async def test_a_reload_goes_on_and_another_forecast_begins_anew(site: Site) -> None:
    await site.steps(0, 50, 50, 50)
    site.configure(forecast_pool())
    assert site.expected() is not None
    other = Forecast(method="holt-winters", step_s=10.0, seasons_s=(), horizon_s=60.0, lead_s=30.0)
    site.configure(forecast_pool(spec=other))
    assert site.expected() is None
    site.configure()
    assert site.forecasts.of("a") is None


async def test_a_restart_goes_on_where_it_ended(site: Site) -> None:
    await site.steps(0, 50, 50, 50)
    site.forecasts.save()
    after = Site(site.board, site.files, site.events, site.clock)
    after.clock.now += 25.0
    after.configure(forecast_pool())
    assert after.expected() == pytest.approx(5.0, rel=0.1)
    await after.steps(10, 70)
    view = after.forecasts.views("a")[0]
    assert (view.observed, view.latest) == (4, 7.0)


async def test_it_is_saved_now_and_then(site: Site) -> None:
    await site.steps(0, 50, 50, 50)
    assert site.files.names() == []
    site.clock.now += 600.0
    await site.forecasts.look()
    assert site.files.names() == ["forecast.a"]


async def test_what_was_saved_of_another_forecast_is_not_used(site: Site) -> None:
    await site.steps(0, 50, 50, 50)
    site.forecasts.save()
    after = Site(site.board, site.files, site.events, site.clock)
    after.configure(
        forecast_pool(spec=Forecast(step_s=10.0, seasons_s=(), horizon_s=60.0, lead_s=30.0))
    )
    assert after.expected() is None
    [event] = [each for each in site.events.recent(9) if each.kind == "forecast.anew"]
    assert "its method is 'last-value', not 'blend'" in event.message


async def test_a_damaged_file_is_set_aside(site: Site, tmp_path: Path) -> None:
    (tmp_path / "forecast.a.json").write_text('{"form": "forecast.a", "version": 1, "value": 7}')
    after = Site(site.board, site.files, site.events, site.clock)
    after.configure(forecast_pool())
    await after.steps(0, 50, 50, 50)
    assert after.expected() == pytest.approx(5.0, rel=0.1)


async def test_names_with_brackets_are_saved_too(site: Site) -> None:
    site.configure(forecast_pool("[::1]:80"))
    await site.steps(0, 1, 1)
    site.forecasts.save()
    assert site.files.names() == ["forecast.=5B::1=5D:80"]


def answers(site: Site, model: str, count: int, tokens: int) -> None:
    """So many, each with these prompt tokens and ten of output."""
    for _ in range(count):
        site.models.count(model, tokens, 0, 10)


@pytest.fixture
def llm_site(site: Site) -> Site:
    site.configure(forecast_pool(kind="llm"))
    return site


async def test_tokens_are_forecast_where_language_models_are_served(llm_site: Site) -> None:
    for _ in range(5):
        answers(llm_site, "small", 2, 100)
        await llm_site.steps(2)
    views = {(v.model, v.quantity): v.latest for v in llm_site.forecasts.views("a")}
    assert views == {
        ("", "requests"): 0.2,
        ("", "prompt_tokens"): 20.0,
        ("", "output_tokens"): 2.0,
    }


async def test_several_models_have_series_of_their_own(llm_site: Site) -> None:
    for _ in range(6):
        answers(llm_site, "small", 3, 100)
        answers(llm_site, "large", 1, 500)
        await llm_site.steps(4)
    views = {(v.model, v.quantity): v.latest for v in llm_site.forecasts.views("a")}
    assert views["small", "prompt_tokens"] == 30.0
    assert views["large", "prompt_tokens"] == 50.0
    assert views["", "prompt_tokens"] == 80.0


async def test_a_models_name_cannot_write_to_the_terminal(llm_site: Site) -> None:
    for _ in range(5):
        answers(llm_site, "\x1b[2Jsmall", 3, 100)
        answers(llm_site, "large", 1, 500)
        await llm_site.steps(4)
    answer = await ShowForecast().run(llm_site.parts)
    assert "a, '\\x1b[2Jsmall': requests per second" in ShowForecast.told(answer.document)


async def test_only_the_busiest_models_have(llm_site: Site) -> None:
    for _ in range(5):
        for number in range(9):
            answers(llm_site, f"m{number}", number + 1, 10)
        await llm_site.steps(1)
    models = {view.model for view in llm_site.forecasts.views("a")}
    assert models == {"", "m5", "m6", "m7", "m8"}


async def test_metrics_tell_quantiles_a_lead_ahead(site: Site) -> None:
    await site.steps(0, 50, 50, 50)
    view = replace(shown_pool("a", 0), forecasts=site.forecasts.views("a"))
    text = render_metrics(overview(view), site.board).decode()
    name = "penstock_forecast_requests_per_second"
    quantiles = [line for line in text.splitlines() if line.startswith(f"{name}{{")]
    assert [line.split('quantile="')[1].split('"')[0] for line in quantiles] == [
        "0.1",
        "0.5",
        "0.9",
        "0.99",
    ]
    assert 'penstock_forecast_lead_seconds{pool="a"} 30.0' in text


async def test_the_command_tells_mean_and_band(site: Site) -> None:
    answer = await ShowForecast().run(site.parts)
    assert ShowForecast.told(answer.document) == "a: too little was seen so far"
    await site.steps(0, 50, 50, 50)
    answer = await ShowForecast(pool="a").run(site.parts)
    told = ShowForecast.told(answer.document)
    assert told.startswith(
        "a: requests per second, now 5 (last-value; 3 steps of 10 s seen)\n  in 10 s: 5 ("
    )
    assert [line.split(":")[0] for line in told.splitlines()[1:]] == [
        "  in 10 s",
        "  in 30 s",
        "  in 1 min",
    ]


async def test_a_pool_without_one_is_said_with_what_to_write(site: Site) -> None:
    with pytest.raises(UnknownNameError, match="'b' is forecast; there are: a; `forecast: on`"):
        await ShowForecast(pool="b").run(site.parts)
    site.configure()
    answer = await ShowForecast().run(site.parts)
    assert (
        ShowForecast.told(answer.document) == "no pool is forecast; `forecast: on` in a pool begins"
    )
