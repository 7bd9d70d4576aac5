"""`serve` hands the supervisor what to run and how to read it again."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner, Result

from penstock.cli.main import penstock_command
from penstock.config.compile.snapshot import ConfigError, Configured

Reread = Callable[[], Configured]


class Supervisor(ModuleType):
    """Stands for `penstock.control.supervisor` and remembers what it was given."""

    def __init__(self, exit_code: int = 0) -> None:
        super().__init__("penstock.control.supervisor")
        self.exit_code = exit_code
        self.given: list[tuple[Configured, Reread]] = []

    def run(self, configured: Configured, reread: Reread, arguments: list[str]) -> int:
        self.given.append((configured, reread))
        return self.exit_code


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    stand_in = Supervisor()
    monkeypatch.setitem(sys.modules, "penstock.control.supervisor", stand_in)
    monkeypatch.delenv("PENSTOCK_ADMIN_TOKEN", raising=False)
    return stand_in


def serve(*arguments: str) -> Result:
    return CliRunner().invoke(penstock_command, ["serve", *arguments], prog_name="penstock")


def test_urls_alone_are_enough(supervisor: Supervisor) -> None:
    assert serve("http://a:1", "http://b:1").exit_code == 0
    ((configured, reread),) = supervisor.given
    assert [each.name for each in configured.snapshot.pools[0].endpoints] == ["a:1", "b:1"]
    assert reread() == configured


def test_options_say_the_rest(supervisor: Supervisor) -> None:
    done = serve(
        *("a:1", "--listen", "127.0.0.1:0", "--listen", "[::1]:0", "--workers", "3"),
        *("--policy", "tests.unit.config.policy:Keyed", "-o", "depth=2", "-o", "mode=fair"),
        *("--admin", "off", "--health-check", "tcp", "--shutdown-deadline", "1s"),
    )
    assert done.exit_code == 0, done.output
    configured, _ = supervisor.given[0]
    assert [each.host for each in configured.snapshot.listeners] == ["127.0.0.1", "::1"]
    assert configured.workers == 3
    assert configured.admin.host is None
    assert configured.snapshot.pools[0].policy.options == {"depth": 2, "mode": "fair"}


def test_the_exit_code_is_the_supervisors(supervisor: Supervisor) -> None:
    supervisor.exit_code = 3
    assert serve("a:1").exit_code == 3


def test_a_file_is_read_again_at_a_reload(supervisor: Supervisor, tmp_path: Path) -> None:
    file = tmp_path / "penstock.yaml"
    file.write_text("endpoints: a:1")
    assert serve("--config", str(file)).exit_code == 0
    configured, reread = supervisor.given[0]
    assert configured.source == file
    file.write_text("endpoints: b:1")
    assert reread().snapshot.pools[0].endpoints[0].name == "b:1"
    file.write_text("endpoint: b:1")
    with pytest.raises(ConfigError, match="did you mean 'endpoints'"):
        reread()


def test_the_admin_token_comes_from_the_environment(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PENSTOCK_ADMIN_TOKEN", "a-token-of-the-environment")
    assert serve("a:1", "--admin", "0.0.0.0:1").exit_code == 0
    assert supervisor.given[0][0].admin.token == "a-token-of-the-environment"
    file = tmp_path / "penstock.yaml"
    file.write_text("endpoints: a:1")
    assert serve("--config", str(file)).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), "give endpoint URLs, or --config FILE"),
        (("a:1", "--config", "x.yaml"), "URLs cannot be combined with --config: set it in x.yaml"),
        (("-c", "x.yaml", "--workers", "2"), "--workers cannot be combined with --config"),
        (("a:1", "-o", "depth"), "--policy-option depth: write NAME=VALUE"),
    ],
)
def test_what_is_used_wrongly_is_refused_with_2(
    arguments: tuple[str, ...], expected: str, supervisor: Supervisor
) -> None:
    done = serve(*arguments)
    assert done.exit_code == 2
    assert expected in done.output
    assert supervisor.given == []


def test_a_wrong_configuration_is_refused_with_1(supervisor: Supervisor) -> None:
    done = serve("a:1", "--policy", "round-robn")
    assert done.exit_code == 1
    assert done.output == (
        "Error: --policy: there is no policy 'round-robn'; did you mean 'round-robin'?\n"
    )
    assert supervisor.given == []


def test_an_empty_token_is_not_taken_for_none(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "the secret is empty" in serve("a:1", "--admin-token", "").output
    monkeypatch.setenv("PENSTOCK_ADMIN_TOKEN", "")
    assert "PENSTOCK_ADMIN_TOKEN is empty" in serve("a:1").output
    assert supervisor.given == []
