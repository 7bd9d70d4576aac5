"""Each tutorial, as a newcomer follows it: its files are written, its commands run, in one shell.

Other ports are put in their place, so that nothing else of this machine is met, and what installs
is left out: the command is there. The Chinese pages have the same commands (`tests/unit/docs`).
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from penstock.fleet.ports import hold

pytestmark = pytest.mark.large

TUTORIALS = Path(__file__).parents[2] / "docs" / "tutorials"
PORTS = ("7101", "7102", "7777", "8080", "9001", "9002", "9101", "9102", "9900")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
NAMED = re.compile(r"`([\w-]+\.(?:yaml|py))`")
LIMIT_S = 120  # a hung command ends the test, and no slow machine does
BEGIN = """\
set -m                      # jobs have numbers, as at a terminal
trap 'status=$?; set +e; kill $(jobs -p) 2> /dev/null; wait; exit $status' EXIT
"""


@pytest.fixture
def ports() -> Iterator[dict[str, str]]:
    """Free ones in place of those that the pages name. Emulated engines have ports in a row."""
    with ExitStack() as held:
        found: dict[str, str] = {}
        for port in PORTS:
            number, holding = _held(int(found["9001"]) + 1 if port == "9002" else 0)
            if holding is not None:
                held.callback(holding.close)
            found[port] = str(number)
        yield found


def _held(port: int) -> tuple[int, socket.socket | None]:
    try:
        return hold("127.0.0.1", port)
    except OSError:
        pytest.skip(f"port {port} is another's")


def script_of(page: str, ports: dict[str, str], directory: Path) -> str:
    """All its commands, once its files are written."""
    text = (TUTORIALS / page).read_text()
    script = [BEGIN]
    for found in BLOCK.finditer(text):
        language, block = found[1], with_ports(found[2], ports)
        if language == "sh":
            lines = [line for line in block.splitlines() if not line.startswith("pip install")]
            script += [told(line, ports) for line in lines]
        else:
            names = NAMED.findall(text[: found.start()])
            (directory / names[-1]).write_text(block)
    return "\n".join(script) + "\n"


def with_ports(text: str, ports: dict[str, str]) -> str:
    return re.sub(r"\b(\d{4})\b", lambda found: ports.get(found[1], found[1]), text)


def told(line: str, ports: dict[str, str]) -> str:
    """`init` and `emulate` choose ports of their own: here they are told which."""
    if line.startswith("penstock emulate"):
        return line.replace("--count 2", f"--port {ports['9001']} --count 2")
    return line.replace(
        "penstock init",
        f"penstock init --force --listen 127.0.0.1:{ports['8080']} "
        f"--admin 127.0.0.1:{ports['9900']} --ports {ports['9001']},{ports['9002']}",
    )


def played(page: str, ports: dict[str, str], directory: Path) -> str:
    """What it prints. Every command has to succeed."""
    script = script_of(page, ports, directory)
    folder = directory / "bin"
    folder.mkdir()
    command = folder / "penstock"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m penstock "$@"\n')
    command.chmod(0o755)
    environ = {
        **os.environ,
        "PATH": f"{folder}:{os.environ['PATH']}",
        "PENSTOCK_ADMIN": f"http://127.0.0.1:{ports['9900']}",
    }
    shell = shutil.which("bash")
    if shell is None or shutil.which("curl") is None:
        pytest.skip("bash and curl are needed")
    process = subprocess.Popen(
        [shell, "-e", "-c", script],
        cwd=directory,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)
        raise
    assert process.returncode == 0, f"{output}\n{logs(directory)}"
    return output


def logs(directory: Path) -> str:
    return "\n".join(f"{path}:\n{path.read_text()[-2000:]}" for path in directory.glob("*.log"))


def test_who_serves_models(ports: dict[str, str], tmp_path: Path) -> None:
    output = played("models.md", ports, tmp_path)
    assert "found vLLM at" in output
    assert '"object":"text_completion"' in output
    assert "time to first token" in output.lower() or "TTFT" in output
    assert "is valid." in output


def test_who_runs_a_shop(ports: dict[str, str], tmp_path: Path) -> None:
    output = played("shop.md", ports, tmp_path)
    answers = re.findall(r"^shop, (\w+)$", output, re.MULTILINE)
    first, again, once_more, while_drained, opened = answers
    assert first == again == once_more
    assert while_drained == "green"  # blue is drained
    assert opened in ("blue", "green")
    assert "Back at noon." in output
    assert '"status": 200' in output or '"status":200' in output


def test_who_runs_a_game(ports: dict[str, str], tmp_path: Path) -> None:
    output = played("game.md", ports, tmp_path)
    rooms = re.findall(r"^(castle|forest): (hello|newcomer)$", output, re.MULTILINE)
    assert [word for _, word in rooms] == ["hello"] * 3 + ["newcomer"] * 3
    assert len({room for room, word in rooms if word == "hello"}) == 1
    assert {room for room, word in rooms if word == "newcomer"} == {"forest"}
