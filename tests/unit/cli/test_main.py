"""The command line finds its verbs, and stays quick."""

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from penstock import __version__
from penstock._form import form
from penstock.cli.ctl import ctl
from penstock.cli.main import _MEANT, Verbs, penstock_command, summary

VERBS = Verbs().list_commands(click.Context(penstock_command))


def run(*arguments: str) -> str:
    result = CliRunner().invoke(penstock_command, arguments, prog_name="penstock")
    assert result.exit_code == 0, result.output
    return result.output


def test_the_version_says_which_form_runs() -> None:
    assert run("--version").startswith(f"penstock {__version__} ({form()}, CPython 3.")


def test_help_lists_every_verb_with_its_line() -> None:
    shown = run("--help")
    assert {"serve", "check"} <= set(VERBS)
    for verb in VERBS:
        assert f"  {verb} " in shown
        assert summary(verb)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(verb: str) -> None:
    assert f"\n    penstock {verb}" in run(verb, "--help")


def test_no_help_is_cut_off() -> None:
    for arguments in (["--help"], ["ctl", "--help"]):
        cut = [line for line in run(*arguments).splitlines() if line.endswith(("...", "…"))]
        assert [line for line in cut if not line.startswith("Usage: ")] == []
    from penstock.cli.ctl import ctl

    for name in ctl.commands:
        assert f"  {name} " in run("ctl", "--help")


def test_an_unknown_verb_is_met_with_the_likely_one() -> None:
    result = CliRunner().invoke(penstock_command, ["srve"], prog_name="penstock")
    assert result.exit_code == 2
    assert "no verb 'srve'; did you mean 'serve'?" in result.output
    result = CliRunner().invoke(penstock_command, ["zzz"], prog_name="penstock")
    assert "there are: check" in result.output


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["reload"], "penstock ctl reload"),
        (["drain", "main/a:1"], "penstock ctl drain POOL/ENDPOINT"),
        (["status"], "penstock ctl status"),
        (["run", "http://a:1"], "penstock serve"),
        (["validate", "penstock.yaml"], "penstock check FILE"),
        (["version"], "penstock --version"),
        (["penstock.yaml"], "penstock serve --config penstock.yaml"),
        (["http://a:1", "http://b:1"], "penstock serve http://a:1"),
        (["serve", "penstock.yaml"], "penstock serve --config penstock.yaml"),
        (["serve", "conf/lb.toml", "--workers", "1"], "penstock serve --config conf/lb.toml"),
    ],
)
def test_what_other_programs_call_it_leads_to_the_right_verb(
    arguments: list[str], meant: str
) -> None:
    result = CliRunner().invoke(penstock_command, arguments, prog_name="penstock")
    assert result.exit_code == 2
    assert meant in result.output


def test_every_verb_that_is_hinted_at_exists() -> None:
    for meant in _MEANT.values():
        verb, _, rest = meant.partition(" ")
        if verb == "ctl":
            assert ctl.get_command(click.Context(ctl), rest.partition(" ")[0]) is not None
        else:
            assert verb in VERBS or run(verb)


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_import_no_verb_and_nothing_heavy(option: str) -> None:
    script = (
        "import sys\n"
        "from penstock.cli.main import penstock_command\n"
        f"penstock_command([{option!r}], standalone_mode=False)\n"
        "heavy = {'pydantic', 'aiohttp', 'yaml', 'msgspec', 'penstock.cli.serve'}\n"
        "print('heavy:', sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert "heavy: []" in done.stdout


def test_the_package_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "penstock", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("penstock ")
