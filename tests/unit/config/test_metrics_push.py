"""`metrics` in a configuration."""

from pathlib import Path

import pytest

from penstock.config.compile.snapshot import ConfigError, load_configuration
from penstock.core.snapshot import MetricsPush


def compiled(directory: Path, metrics: str) -> MetricsPush | None:
    file = directory / "penstock.yaml"
    file.write_text(f"listen: 127.0.0.1:0\nendpoints: [http://127.0.0.1:1]\nmetrics: {metrics}\n")
    return load_configuration(file).snapshot.metrics


def test_metrics_are_pushed_nowhere_unless_asked_for(tmp_path: Path) -> None:
    assert compiled(tmp_path, "null") is None


def test_where_they_go_and_how_often(tmp_path: Path) -> None:
    (tmp_path / "headers").write_text("A: b\n")
    given = "{collector: 'http://c:4318', every: 30s, service_name: shop, headers_file: headers}"
    assert compiled(tmp_path, given) == MetricsPush(
        "http://c:4318", 30.0, "shop", str(tmp_path / "headers")
    )


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        ("{}", "collector"),
        ("{collector: 'http://c:4318/v1/metrics'}", "leave out the path"),
        ("{collector: 'http://c:4317'}", "4317 is for gRPC"),
        ("{collector: 'http://c:4318', every: 100ms}", "1s is the least"),
        ("{collector: 'http://c:4318', headers_file: none-such}", "is no file"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, metrics: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        compiled(tmp_path, metrics)
