"""`doctor` says the worst by its exit code, and everything as JSON."""

import json
import socket
from pathlib import Path

from click.testing import CliRunner

from penstock.cli.main import penstock_command


def test_the_exit_code_says_the_worst_and_json_says_all(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        file = tmp_path / "penstock.yaml"
        file.write_text(
            f"listen: 127.0.0.1:0\nadmin: 'off'\nendpoints: 127.0.0.1:{silent.getsockname()[1]}\n"
        )
        told = CliRunner().invoke(penstock_command, ["doctor", str(file)])
        as_json = CliRunner().invoke(penstock_command, ["doctor", str(file), "--json"])
    assert told.exit_code == as_json.exit_code == 4
    assert told.output.startswith("error    main/127.0.0.1:")
    assert "→ start it, or correct its `url`" in told.output
    document = json.loads(as_json.output)
    assert document["worst"] == document["findings"][0]["harm"] == "error"
    assert document["machine"]["cores"] >= 1


def test_a_machine_alone_is_looked_at_without_a_file() -> None:
    done = CliRunner().invoke(penstock_command, ["doctor"])
    assert done.exit_code in (0, 3, 4), done.output
    assert done.exception is None or isinstance(done.exception, SystemExit)
