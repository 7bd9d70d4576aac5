"""What tenants used since the start, as metrics tell it: by names of the configuration alone."""

from pathlib import Path

from msgspec.structs import replace

from penstock.admin.tenant_metrics import tenant_metrics
from penstock.admin.view import UsedView
from penstock.control.events import Events
from penstock.control.store.files import StateFiles
from penstock.control.tenants.usage import MOST_TENANTS, OTHERS, Usage
from tests.unit.admin.balancer import overview, pool

DAY_S = 86_400.0


class Clock:
    now = 1e6

    def __call__(self) -> float:
        return self.now


def counted(directory: Path, clock: Clock) -> Usage:
    return Usage(StateFiles(directory, Events()), clock)


def test_it_is_summed_over_keys_and_models_and_does_not_begin_anew_with_a_day(
    tmp_path: Path,
) -> None:
    clock = Clock()
    usage = counted(tmp_path, clock)
    usage.take([["acme", "ci", "big", 1, 10, 2, 5, 0.25]])
    clock.now += DAY_S
    usage.take([["acme", "web", "small", 2, 20, 0, 7, 0.25], ["beta", "k", "big", 1, 1, 0, 1, 0.0]])
    assert usage.used(["acme", "beta", "gamma"]) == (
        UsedView("acme", 3, 30, 2, 12),
        UsedView("beta", 1, 1, 0, 1),
        UsedView("gamma", 0, 0, 0, 0),
    )


def test_names_are_bounded_and_none_is_lost(tmp_path: Path) -> None:
    usage = counted(tmp_path, Clock())
    names = [f"t{number}" for number in range(MOST_TENANTS + 5)]
    usage.take([[name, "k", "big", 1, 10, 0, 1, 0.0] for name in (*names, "removed")])
    found = usage.used(names)
    assert len(found) == MOST_TENANTS + 1
    assert found[-1] == UsedView(OTHERS, 6, 60, 0, 6)


def test_metrics_tell_requests_and_tokens_by_tenant() -> None:
    shown = replace(overview(pool("web", 0)), used=(UsedView("acme", 3, 30, 2, 12),))
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for metric in tenant_metrics(shown)
        for sample in metric.samples
    }
    assert found == {
        ("penstock_tenant_requests_total", "acme"): 3,
        ("penstock_tenant_tokens_total", "acme", "prompt"): 30,
        ("penstock_tenant_tokens_total", "acme", "cached"): 2,
        ("penstock_tenant_tokens_total", "acme", "output"): 12,
    }


def test_without_tenants_there_are_none() -> None:
    assert not list(tenant_metrics(overview(pool("web", 0))))
