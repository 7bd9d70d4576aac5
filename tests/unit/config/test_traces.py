"""`traces` in a configuration."""

from pathlib import Path

import pytest

from penstock.config.compile.snapshot import ConfigError, load_configuration
from penstock.core.snapshot import Traces


def compiled(directory: Path, traces: str) -> Traces | None:
    file = directory / "penstock.yaml"
    file.write_text(f"listen: 127.0.0.1:0\nendpoints: [http://127.0.0.1:1]\ntraces: {traces}\n")
    return load_configuration(file).snapshot.traces


def test_without_it_nothing_is_traced(tmp_path: Path) -> None:
    assert compiled(tmp_path, "null") is None


def test_all_of_it(tmp_path: Path) -> None:
    (tmp_path / "headers").write_text("A: b\n")
    assert compiled(
        tmp_path,
        "{collector: http://collector:4318, sample: 0.5, errors: false, slower_than: 2s, "
        "service_name: shop, headers_file: headers}",
    ) == Traces(
        "http://collector:4318", 0.5, False, 2.0, "shop", str((tmp_path / "headers").absolute())
    )


@pytest.mark.parametrize(
    ("traces", "said"),
    [
        ("{collector: 'collector:4318'}", "http://host:4318"),
        ("{collector: 'http://c:4317'}", "4317 is for gRPC"),
        ("{collector: 'http://c:4318/v1/traces'}", "leave out the path"),
        ("{collector: 'http://me:secret@c:4318'}", "headers_file"),
        ("{collector: 'http://c:4318', sample: 2}", "sample"),
        ("{collector: 'http://c:4318', headers_file: none.txt}", "none.txt is no file"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, traces: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        compiled(tmp_path, traces)
