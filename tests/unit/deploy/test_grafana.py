"""Dashboards and alert rules speak of metrics that exist, and are written as they would be now."""

import json

import pytest
import yaml

from deploy.grafana.boards import BOARDS, HERE, written
from deploy.grafana.catalogue import Query, catalogue

WRITTEN = written()


@pytest.mark.parametrize("name", WRITTEN)
def test_files_are_as_they_would_be_written(name: str) -> None:
    assert (HERE / name).read_text() == WRITTEN[name], "python -m deploy.grafana.boards --write"


def test_a_metric_that_is_not_there_cannot_be_asked_for() -> None:
    with pytest.raises(LookupError, match="no metric is called penstock_requets"):
        Query().rate("requets")
    with pytest.raises(LookupError, match="penstock_requests is a counter, not a gauge"):
        Query().now("requests")
    with pytest.raises(LookupError, match="has no label 'endpoint'"):
        Query().rate("requests", "endpoint")
    with pytest.raises(LookupError, match="has no label 'code'"):
        Query().rate("responses", where='code="5xx"')


def test_variables_select_by_the_labels_that_a_metric_has() -> None:
    query = Query('instance=~"$instance", pool=~"$pool"')
    assert query.rate("requests", window="1m") == (
        'sum (rate(penstock_requests_total{instance=~"$instance", pool=~"$pool"}[1m]))'
    )
    assert query.now("connections") == 'sum (penstock_connections{instance=~"$instance"})'


@pytest.mark.parametrize("name", BOARDS)
def test_every_panel_says_what_it_shows(name: str) -> None:
    panels = json.loads(WRITTEN[f"{name}.json"])["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    meanings = {known.meaning for known in catalogue().values()}
    for panel in panels:
        assert panel["description"] in meanings
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24


def test_every_alert_says_what_is_wrong() -> None:
    [group] = yaml.safe_load(WRITTEN["alerts.yaml"])["groups"]
    names = [rule["alert"] for rule in group["rules"]]
    assert len(set(names)) == len(names)
    for rule in group["rules"]:
        assert rule["annotations"]["summary"].endswith(".")
        assert rule["labels"]["severity"] in ("critical", "warning")
