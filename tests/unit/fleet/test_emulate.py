"""`penstock emulate`: engines on the ports asked for, errors that say which is taken."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request

from click.testing import CliRunner

from penstock.cli.emulate import emulate


def test_engines_serve_and_suffer_until_ctrl_c() -> None:
    arguments = ["--count", "2", "--port", "0", "--model", "tiny" * 20, "--engine", "llamacpp"]
    process = subprocess.Popen(
        [sys.executable, "-m", "penstock", "emulate", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "COLUMNS": "40"},
    )
    try:
        assert process.stdout is not None
        said = ""
        while "faults:" not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        urls = [word for word in said.split() if word.startswith("http://")]
        first, second, control = urls[0], urls[1], urls[2].partition("/servers")[0]
        for url in (first, second):
            with urllib.request.urlopen(f"{url}/v1/models", timeout=20) as response:
                assert json.load(response)["data"][0]["id"] == "tiny" * 20
        fault = json.dumps({"kind": "lie", "reported": {"waiting": 5}}).encode()
        path = f"{control}/servers/engine-2/fault"
        with urllib.request.urlopen(path, data=fault, timeout=20) as response:
            assert json.load(response)["reported"] == {"waiting": 5.0}
        with urllib.request.urlopen(f"{second}/metrics", timeout=20) as response:
            assert b"llamacpp:requests_deferred 5.0" in response.read()
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=20)
        assert process.returncode == 0, rest
        assert "Traceback" not in rest
    finally:
        process.kill()
        process.communicate()


def test_a_taken_port_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        run = CliRunner().invoke(emulate, ["--port", str(port)])
    assert run.exit_code == 1
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in run.output


def test_ports_that_cannot_be_are_refused_and_those_of_kv_events_named() -> None:
    for option in ("--port", "--kv-events-port"):
        run = CliRunner().invoke(emulate, [option, "65535", "--count", "2"])
        assert run.exit_code == 2
        assert f"{option} 65535 leaves no room" in run.output
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        arguments = ["--port", "0", "--kv-events", "map", "--kv-events-port", port]
        run = CliRunner().invoke(emulate, arguments)
    assert run.exit_code == 1
    assert f"cannot publish KV events on 127.0.0.1:{port}: Address already in use" in run.output
