"""The store that balancers share, in metrics and in the table of `ctl status`."""

from pathlib import Path

from penstock.admin.store_metrics import store_metrics
from penstock.admin.view import BalancerView, StoreView

STORE = StoreView(
    where="10.0.0.5:6379",
    connected=True,
    problem="",
    connects=2,
    failed=3,
    dropped=4,
    me="a",
    balancers=(BalancerView("b", 0.1, 7, 2, 1), BalancerView("c", 0.1, 5, 2, 0)),
    sent=10,
    sent_bytes=1000,
    received=20,
    received_bytes=2000,
    refused=0,
    lost=1,
    asked=2,
    delay_ms=1.5,
    prefixes=30,
)


def test_without_a_store_there_are_none() -> None:
    assert list(store_metrics(None)) == []


def test_each_is_told_and_documented() -> None:
    page = Path(__file__).parents[3].joinpath("docs/operations.md").read_text("utf-8")
    values = {
        sample.name: sample.value for metric in store_metrics(STORE) for sample in metric.samples
    }
    assert values["penstock_store_up"] == 1
    assert values["penstock_store_balancers"] == 2
    assert values["penstock_store_balancers_in_flight"] == 12
    assert values["penstock_store_delay_seconds"] == 0.0015
    for name in values:
        assert f"`{name}`" in page, f"docs/operations.md does not tell of {name}"
