"""`ctl` says in words what went wrong; what it does is played in a scenario test."""

import http.server
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from penstock.cli.main import penstock_command


def ctl(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(
        penstock_command, ["ctl", *arguments], prog_name="penstock", env=environment
    )


class Server:
    """Answers everything alike, and remembers what it was shown."""

    def __init__(self, status: int, body: bytes) -> None:
        self.tokens: list[str | None] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.tokens.append(self.headers.get("Authorization"))
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.do_GET()

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


ServerMaker = Callable[[int, bytes], Server]


@pytest.fixture
def answering() -> Iterator[ServerMaker]:
    made: list[Server] = []

    def make(status: int, body: bytes) -> Server:
        made.append(Server(status, body))
        return made[-1]

    yield make
    for server in made:
        server.close()


def test_nothing_listens_there() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        done = ctl("status", PENSTOCK_ADMIN=address)
    assert done.exit_code == 1
    assert done.output.startswith(
        f"Error: nothing answers at http://{address} (connection refused)"
    )
    assert "Is the balancer running?" in done.output


def test_an_address_that_is_none_is_quoted() -> None:
    done = ctl("status", "--admin", "http://127.0.0.1:99x")
    assert done.exit_code == 1
    assert "99x' is not a URL" in done.output


def test_a_host_that_has_no_address_is_said_to_have_none() -> None:
    done = ctl("--admin", "http://nobody.invalid:9900", "status")
    assert done.exit_code == 1
    assert done.output.startswith("Error: nothing answers at http://nobody.invalid:9900 (")
    assert "Unknown error" not in done.output


@pytest.mark.parametrize("weight", ["nan", "inf"])
def test_a_weight_that_is_no_number_is_refused(answering: ServerMaker, weight: str) -> None:
    done = ctl("--admin", answering(200, b"{}").url, "weight", "main/gpu1:8000", weight)
    assert done.exit_code == 2
    assert f"a number is needed, not {weight}" in done.output


def test_something_else_listens_there(answering: ServerMaker) -> None:
    server = answering(200, b"<html>")
    done = ctl("--admin", server.url, "status")
    assert done.exit_code == 1
    assert "is not a Penstock admin address" in done.output


def test_a_token_is_asked_for(answering: ServerMaker) -> None:
    server = answering(401, b'{"error": "show the admin token"}')
    done = ctl("--admin", server.url, "stop")
    assert done.exit_code == 1
    assert "`--token-file` or PENSTOCK_TOKEN" in done.output


def test_the_token_comes_from_option_file_or_environment(
    answering: ServerMaker, tmp_path: Path
) -> None:
    server = answering(202, b"{}")
    file = tmp_path / "token"
    file.write_text("from-file\n")
    ctl("--admin", server.url, "--token", "from-option", "stop")
    ctl("--admin", server.url, "--token-file", str(file), "stop")
    ctl("--admin", server.url, "stop", PENSTOCK_TOKEN="from-environment")
    ctl("--admin", server.url, "stop")
    assert server.tokens == [
        "Bearer from-option",
        "Bearer from-file",
        "Bearer from-environment",
        None,
    ]


def test_options_of_the_connection_may_stand_after_the_verb(answering: ServerMaker) -> None:
    server = answering(202, b"{}")
    ctl("stop", "--admin", server.url, "--token=from-option")
    assert server.tokens == ["Bearer from-option"]
    done = ctl("stop", "--admin")
    assert done.exit_code == 2
    assert "--admin needs a value" in done.output


@pytest.mark.parametrize("name", ["main", "main/", "/e0", ""])
def test_an_endpoint_is_named_with_its_pool(name: str) -> None:
    done = ctl("drain", name)
    assert done.exit_code == 2
    assert "write POOL/ENDPOINT, as in main/10.0.0.1:8000" in done.output


@pytest.mark.parametrize("verb", ["status", "drain", "undrain", "weight", "reload", "stop"])
def test_every_verb_has_an_example(verb: str) -> None:
    done = ctl(verb, "--help")
    assert done.exit_code == 0
    assert f"penstock ctl {verb}" in done.output
