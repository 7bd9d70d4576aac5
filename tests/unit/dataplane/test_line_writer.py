"""Lines are written whole, by a thread, and whoever has something to say never waits."""

import os
import sys
import threading
from pathlib import Path

import pytest

from penstock.dataplane.record.line_writer import LineStream, LineWriter, append_to
from tests.harness.waiting import PATIENCE_S, wait_until

LINE = b"x" * 999 + b"\n"


def all_lines(fd: int, into: list[bytes]) -> threading.Thread:
    """Reads until the end."""

    def read() -> None:
        with os.fdopen(fd, "rb") as lines:
            into.extend(lines)

    reading = threading.Thread(target=read)
    reading.start()
    return reading


def test_a_reader_that_stalls_loses_whole_lines_which_are_counted() -> None:
    theirs, ours = os.pipe()
    writer = LineWriter(ours, owned=True, max_bytes=200_000)
    for _ in range(1000):
        writer.put(LINE)
    assert writer.dropped > 500
    assert writer.behind
    read: list[bytes] = []
    reading = all_lines(theirs, read)
    wait_until(lambda: not writer.behind, "it is read again")
    assert writer.put(b"after\n")
    writer.join(PATIENCE_S)
    reading.join(PATIENCE_S)
    assert read == [LINE] * (1000 - writer.dropped) + [b"after\n"]


def test_lines_of_several_processes_do_not_mix_in_a_pipe() -> None:
    theirs, ours = os.pipe()
    writers = [LineWriter(os.dup(ours), owned=True) for _ in range(2)]
    os.close(ours)
    lines = [bytes([letter]) * 1500 + b"\n" for letter in b"ab"]
    for _ in range(100):
        for writer, line in zip(writers, lines, strict=True):
            writer.put(line * 3)
    read: list[bytes] = []
    reading = all_lines(theirs, read)
    for writer in writers:
        writer.join(PATIENCE_S)
    reading.join(PATIENCE_S)
    assert sorted(read) == [lines[0]] * 300 + [lines[1]] * 300


def test_a_pipe_that_does_not_block_is_waited_for() -> None:
    theirs, ours = os.pipe()
    os.set_blocking(ours, False)
    writer = LineWriter(ours, owned=True)
    for _ in range(300):
        writer.put(LINE)
    read: list[bytes] = []
    reading = all_lines(theirs, read)
    writer.join(PATIENCE_S)
    reading.join(PATIENCE_S)
    assert read == [LINE] * 300
    assert writer.dropped == 0


def test_a_fifo_need_not_have_a_reader(tmp_path: Path) -> None:
    path = tmp_path / "requests"
    os.mkfifo(path)
    writer = append_to(str(path))
    writer.put(b"one\n")
    with path.open("rb") as lines:
        assert lines.readline() == b"one\n"
    writer.put(b"two\n")
    with path.open("rb") as lines:
        assert lines.readline() == b"two\n"
    writer.join(PATIENCE_S)


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /dev/full")
def test_a_full_disk_stops_neither_the_writing_nor_the_end() -> None:
    writer = LineWriter(os.open("/dev/full", os.O_WRONLY), owned=True)
    for _ in range(3):
        assert writer.put(LINE)
    wait_until(lambda: writer.trouble != "", "it is full")
    assert "No space left" in writer.trouble
    writer.join(PATIENCE_S)
    assert not writer.alive
    assert writer.dropped == 3


def test_what_is_printed_in_pieces_is_written_by_the_line(tmp_path: Path) -> None:
    writer = append_to(str(tmp_path / "errors"))
    stream = LineStream(writer)
    print("a", "bug", file=stream)
    stream.write("\udcff half")
    writer.join(PATIENCE_S)
    assert (tmp_path / "errors").read_bytes() == b"a bug\n"
