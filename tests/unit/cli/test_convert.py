"""`convert` prints what `check` passes, and refuses to open what was guarded."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from penstock.cli.main import penstock_command

WEB = "listen web\n  mode http\n  bind 127.0.0.1:8080\n  server s 127.0.0.1:9001\n"
GUARDED = WEB + "  http-request auth unless { http_auth(people) }\n"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(penstock_command, ["convert", *arguments], prog_name="penstock")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "haproxy.cfg"


def test_what_is_made_passes_check(file: Path, tmp_path: Path) -> None:
    file.write_text(WEB)
    made = tmp_path / "penstock.yaml"
    done = run(str(file), "-o", str(made))
    assert done.exit_code == 0, done.output
    checked = CliRunner().invoke(penstock_command, ["check", str(made)])
    assert checked.exit_code == 0
    assert "web: http://127.0.0.1:8080" in checked.output
    assert run(str(file), "-o", str(made)).exit_code == 1  # it is there already


def test_a_rule_of_access_without_a_counterpart_stops_it_unless_told(
    file: Path, tmp_path: Path
) -> None:
    file.write_text(GUARDED)
    made = tmp_path / "penstock.yaml"
    refused = run(str(file), "-o", str(made))
    assert refused.exit_code == 1
    assert f"ACCESS     {file}:5: http-request auth unless" in refused.output
    assert not made.exists()
    assert run(str(file), "-o", str(made), "--without-access-rules").exit_code == 0
    assert "http-request auth" in made.read_text()  # told at its top too


def test_what_is_to_be_corrected_is_told_and_written_all_the_same(file: Path) -> None:
    file.write_text(WEB.replace("8080", "8443 ssl crt missing.pem"))
    done = run(str(file))
    assert done.exit_code == 1
    assert "To correct: the result:" in done.output
    assert "missing.pem cannot be read" in done.output


def test_whose_file_it_is_is_asked_where_its_name_does_not_say(tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text(WEB)
    assert "--from nginx" in run(str(file)).output
    assert run(str(file), "--from", "haproxy").exit_code == 0


def test_users_of_a_userlist_are_written_beside_for_this_user_alone(
    file: Path, tmp_path: Path
) -> None:
    file.write_text(GUARDED + "userlist people\n  user ada insecure-password a-secret\n")
    made, users = tmp_path / "penstock.yaml", tmp_path / "people.htpasswd"
    printed = run(str(file))
    assert "people.htpasswd belongs beside it" in printed.output
    assert not users.exists()
    users.write_text("kept")
    assert "people.htpasswd is there already" in run(str(file), "-o", str(made)).output
    assert not made.exists()
    users.unlink()
    done = run(str(file), "-o", str(made))
    assert done.exit_code == 0, done.output
    assert users.stat().st_mode & 0o777 == 0o600
    assert "a-secret" not in users.read_text() + made.read_text() + done.output
    assert CliRunner().invoke(penstock_command, ["check", str(made)]).exit_code == 0
