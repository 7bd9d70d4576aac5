"""Lines to a syslog daemon: one datagram each, and counted where nobody takes them."""

import os
import re
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from penstock.config.compile.snapshot import ConfigError, load_configuration
from penstock.core.snapshot import RequestLog
from penstock.dataplane.record.syslog_writer import SyslogWriter
from tests.harness.waiting import PATIENCE_S, wait_until


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[socket.socket]:
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as sock:
        sock.bind(str(tmp_path / "log"))
        sock.settimeout(PATIENCE_S)
        yield sock


def test_a_local_daemon_gets_each_line_by_itself(daemon: socket.socket) -> None:
    writer = SyslogWriter(daemon.getsockname())
    assert writer.put(b'{"a":1}\n{"b":2}\n')
    prefix = f"<134>penstock[{os.getpid()}]: ".encode()
    assert [daemon.recv(9000) for _ in range(2)] == [prefix + b'{"a":1}', prefix + b'{"b":2}']
    writer.join(PATIENCE_S)
    assert writer.dropped == 0


def test_one_elsewhere_gets_time_and_host() -> None:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(PATIENCE_S)
        writer = SyslogWriter(f"127.0.0.1:{sock.getsockname()[1]}")
        writer.put(b"line\n")
        told = sock.recv(9000)
        writer.join(PATIENCE_S)
    assert re.fullmatch(rb"<134>1 \d{4}-\S+Z \S+ penstock \d+ request - line", told)


def test_one_that_was_restarted_is_connected_to_again(
    daemon: socket.socket, tmp_path: Path
) -> None:
    path = daemon.getsockname()
    writer = SyslogWriter(path)
    writer.put(b"first\n")
    daemon.recv(9000)
    daemon.close()
    Path(path).unlink()
    writer.put(b"lost\n")
    wait_until(lambda: writer.dropped == 1, "what nobody takes is counted")
    assert writer.trouble
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as another:
        another.bind(path)
        another.settimeout(PATIENCE_S)
        writer.put(b"second\n")
        assert another.recv(9000).endswith(b": second")
    writer.join(PATIENCE_S)


def place(text: str, directory: Path) -> RequestLog:
    file = directory / "penstock.yaml"
    file.write_text(f"endpoints: [127.0.0.1:1]\nrequest_log: '{text}'\n")
    return load_configuration(file).snapshot.request_log


def test_a_document_names_it(tmp_path: Path) -> None:
    assert place("syslog:/dev/log", tmp_path) == RequestLog("syslog", "/dev/log")
    assert place("syslog://[2001:db8::1]:514", tmp_path).path == "[2001:db8::1]:514"
    for wrong in ("syslog:here", "syslog://loghost:514", "syslog://192.0.2.1"):
        with pytest.raises(ConfigError):
            place(wrong, tmp_path)
