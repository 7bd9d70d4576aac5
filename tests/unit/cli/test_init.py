"""`init` writes a file that `check` passes, from URLs, from answers, or from what is found."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from penstock.cli import init as init_verb
from penstock.cli._first_file import Choices, first_file
from penstock.cli.main import penstock_command
from penstock.config.compile.snapshot import load_configuration
from penstock.control.engines.finding import Found


def run(*arguments: str, answers: str = "") -> Result:
    return CliRunner().invoke(penstock_command, arguments, input=answers, prog_name="penstock")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that refuses."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


def test_urls_and_options_make_a_file_that_passes_check(silent: int) -> None:
    done = run(
        "init",
        f"http://127.0.0.1:{silent}",
        *("--kind", "llm", "--listen", "127.0.0.1:8081", "--health-check", "/health"),
    )
    assert done.exit_code == 0, done.output
    assert "Next: penstock serve --config penstock.yaml" in done.output
    [pool] = load_configuration(Path("penstock.yaml")).snapshot.pools
    assert (pool.kind, pool.policy.name, pool.endpoints[0].port) == ("llm", "marginal-cost", silent)
    assert run("check", "penstock.yaml").exit_code == 0
    assert "not reachable when this was written" in Path("penstock.yaml").read_text()


def test_a_file_that_is_there_is_not_replaced_unless_told(silent: int) -> None:
    Path("penstock.yaml").write_text("mine")
    refused = run("init", f"http://127.0.0.1:{silent}")
    assert refused.exit_code == 1
    assert "--force replaces it" in refused.output
    assert Path("penstock.yaml").read_text() == "mine"
    assert run("init", f"http://127.0.0.1:{silent}", "--force").exit_code == 0


def test_what_would_not_pass_check_is_not_written(silent: int) -> None:
    wrong = run("init", f"http://127.0.0.1:{silent}", "--policy", "fastest")
    assert wrong.exit_code == 1
    assert "fastest" in wrong.output
    assert not Path("penstock.yaml").exists()


def test_nothing_found_is_told_with_what_to_type(silent: int) -> None:
    done = run("init", "--yes", "--ports", str(silent))
    assert done.exit_code == 1
    assert "give the URLs of your servers" in done.output


def test_what_is_not_given_is_asked_for_at_a_terminal(
    silent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(init_verb, "_at_terminal", lambda: True)
    answers = f"http://127.0.0.1:{silent}\nllm\n127.0.0.1:8099\n/health\n"
    done = run("init", "--ports", str(silent), answers=answers)
    assert done.exit_code == 0, done.output
    configured = load_configuration(Path("penstock.yaml"))
    [pool] = configured.snapshot.pools
    assert (pool.kind, configured.snapshot.listeners[0].port) == ("llm", 8099)
    assert pool.health_check is not None


def test_engines_that_answer_are_its_endpoints() -> None:
    found = [Found("http://127.0.0.1:8000", "vLLM", ("Qwen/Qwen3-8B",), "/health")]
    text = first_file(
        Choices("llm", "127.0.0.1:8080", "127.0.0.1:9900", "/health", found), "a.yaml"
    )
    assert "- http://127.0.0.1:8000    # vLLM: Qwen/Qwen3-8B\n" in text
    assert init_verb._usual_check([*found, Found("http://127.0.0.1:11434", "Ollama")]) == "tcp"
    assert init_verb._usual_check(found) == "/health"


def test_names_that_servers_chose_cannot_leave_their_comment(tmp_path: Path) -> None:
    hostile = Found("http://127.0.0.1:8000", "vLLM", ("m\nadmin: 0.0.0.0:1\n", "\x1b[2Ja"))
    text = first_file(Choices("llm", "127.0.0.1:1", "off", "off", [hostile]), "a.yaml")
    (tmp_path / "a.yaml").write_text(text)
    assert load_configuration(tmp_path / "a.yaml").admin.host is None
    assert "\x1b" not in text


def test_an_admin_address_for_others_gets_a_token_and_the_file_is_for_its_owner_alone(
    silent: int,
) -> None:
    assert run("init", f"http://127.0.0.1:{silent}", "--admin", "0.0.0.0:9900").exit_code == 0
    configured = load_configuration(Path("penstock.yaml"))
    assert len(configured.admin.token or "") >= 32
    assert Path("penstock.yaml").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_told_how_to_complete(shell: str) -> None:
    done = run("completion", shell)
    assert done.exit_code == 0
    assert "_PENSTOCK_COMPLETE" in done.output
    assert f"{shell}_complete" in done.output


def test_verbs_are_completed_without_importing_them() -> None:
    done = CliRunner().invoke(
        penstock_command,
        [],
        prog_name="penstock",
        env={
            "_PENSTOCK_COMPLETE": "bash_complete",
            "COMP_WORDS": "penstock do",
            "COMP_CWORD": "1",
        },
        complete_var="_PENSTOCK_COMPLETE",
    )
    assert done.output == "plain,doctor\n"
