"""Where the shared store is, and that its secrets are never shown."""

from pathlib import Path

import pytest

from penstock.cli.check import summary_lines
from penstock.config.compile.configured import StoreSettings
from penstock.config.compile.snapshot import ConfigError, Configured, load_configuration
from penstock.config.compile.store import parse_url


def configured(directory: Path, store: str) -> Configured:
    file = directory / "penstock.yaml"
    file.write_text(f"listen: 127.0.0.1:0\nendpoints: [http://127.0.0.1:1]\nstore: {store}\n")
    return load_configuration(file)


def store_of(directory: Path, store: str) -> StoreSettings:
    found = configured(directory, store).store
    assert found is not None
    return found


def test_without_it_there_is_none(tmp_path: Path) -> None:
    assert configured(tmp_path, "null").store is None


@pytest.mark.parametrize(
    ("url", "kind", "places", "shown"),
    [
        ("redis://10.0.0.5", "server", (("10.0.0.5", 6379),), "10.0.0.5:6379"),
        ("valkey://store:7000/3", "server", (("store", 7000),), "store:7000"),
        ("rediss://[::1]:7000", "server", (("::1", 7000),), "[::1]:7000"),
        (
            "redis+sentinel://a,b:1/main/2",
            "sentinel",
            (("a", 26379), ("b", 1)),
            "main by a:26379, b:1",
        ),
        ("rediss+cluster://a,b", "cluster", (("a", 6379), ("b", 6379)), "a:6379, b:6379"),
    ],
)
def test_a_url_says_where_it_is(
    url: str, kind: str, places: tuple[tuple[str, int], ...], shown: str
) -> None:
    found = parse_url(url)
    assert (found.kind, found.places, found.shown) == (kind, places, shown)
    assert found.tls == url.startswith("rediss")


def test_who_logs_in_is_never_shown(tmp_path: Path) -> None:
    found = store_of(tmp_path, "redis://me:p%40ssword@10.0.0.5")
    assert (found.username, found.password) == ("me", "p@ssword")
    assert "ssword" not in repr(found) + found.shown


def test_check_says_where_it_is(tmp_path: Path) -> None:
    said = list(summary_lines(configured(tmp_path, "redis://me:secretword@10.0.0.5")))
    assert said[-1] == "store: 10.0.0.5:6379 (cluster main)"
    assert "secretword" not in "".join(said)


def test_a_password_and_the_key_of_secrets_come_from_files(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("letmein\n")
    (tmp_path / "key").write_text("0123456789abcdef\nfedcba9876543210\n")
    found = store_of(
        tmp_path, "{url: 'redis://a', password_file: password, secrets_key_file: key, cluster: eu}"
    )
    assert found.password == "letmein"
    assert found.secrets == ("0123456789abcdef", "fedcba9876543210")
    assert found.cluster == "eu"
    assert "letmein" not in repr(found)
    assert "0123" not in repr(found)


@pytest.mark.parametrize(
    ("store", "said"),
    [
        ("http://a:secretword", "this is no URL of a store"),
        ("redis://secretword@", "this is no URL of a store"),
        ("redis://a,b", "several hosts are for"),
        ("redis://a/x", "the number of a database"),
        ("redis://a:99999", "a host and perhaps its port"),
        ("redis+sentinel://a", "needs the NAME"),
        ("redis+cluster://a/1", "a cluster has one database"),
        ("{url: 'redis://a', password_file: missing}", "cannot be read"),
        ("{url: 'redis://:secretword@a', password_file: missing}", "give one of both"),
        ("{url: 'redis://a', secrets_key_file: missing}", "cannot be read"),
        ("{url: 'redis://a', certificate: missing.pem}", "rediss://"),
        ("{url: 'redis://a', tenants: true}", "give `secrets_key_file`"),
        ("{url: 'redis://a', tenants: true}", "give `tenants_directory`"),
    ],
)
def test_what_cannot_be_is_refused_without_repeating_it(
    tmp_path: Path, store: str, said: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        configured(tmp_path, store)
    assert said in str(refused.value)
    assert "secretword" not in str(refused.value)
