"""A worker that speaks the mailbox and serves nobody. What a snapshot holds decides what it does.

Changes of endpoints are refused where another generation runs than they are of, and counted in
W_REQUESTS.

A pool called ``refused`` is refused by every worker, ``refused-by-1`` by that one only; ``deadly``
ends the process with code 3, ``stuck`` stops the heartbeat, ``stubborn`` ignores the stop message.
"""

import argparse
import os
import socket
import sys
import time
from typing import Any

from penstock.dataplane.board.layout import W_CONNECTIONS, W_HEARTBEAT_MS, W_PID, W_REQUESTS
from penstock.dataplane.board.memory import Board
from penstock.dataplane.worker.messages import Inbox, frame

_HEARTBEAT_S = 0.02


class FakeWorker:
    def __init__(self, index: int, board: Board, mailbox: socket.socket) -> None:
        self._index = index
        self._board = board
        self._mailbox = mailbox
        self._cells = board.worker(index)
        self._pools: set[str] = set()
        self._generation = 0
        board.cells[self._cells + W_PID] = os.getpid()

    def run(self) -> None:
        inbox = Inbox()
        self._mailbox.settimeout(_HEARTBEAT_S)
        while True:
            if "stuck" not in self._pools:
                self._board.cells[self._cells + W_HEARTBEAT_MS] = time.monotonic_ns()
            try:
                data, descriptors, _, _ = socket.recv_fds(self._mailbox, 65536, 64)
            except TimeoutError:
                continue
            if not data:
                sys.exit(0)  # the test is over
            for message in inbox.feed(data):
                self._take(message, descriptors)

    def _take(self, message: dict[str, Any], descriptors: list[int]) -> None:
        if message["kind"] == "stop" and "stubborn" not in self._pools:
            sys.exit(0)
        if message["kind"] == "decisions" and "silent" not in self._pools:
            answer = {"kind": "answer", "token": message["token"], "records": [self._index]}
            self._mailbox.sendall(frame(answer))
        if message["kind"] == "endpoints":
            self._take_changes(message["changes"])
        if message["kind"] != "snapshot":
            return
        assert len(descriptors) == len(message["listeners"])
        self._pools = {pool["name"] for pool in message["snapshot"]["pools"]}
        if "deadly" in self._pools:
            sys.exit(3)
        answer = {"kind": "applied", "generation": message["snapshot"]["generation"]}
        if self._pools & {"refused", f"refused-by-{self._index}"}:
            answer |= {"kind": "refused", "reason": "it does not please"}
        self._generation = message["snapshot"]["generation"]
        # What the supervisor is to zero when this process dies.
        self._board.cells[self._cells + W_CONNECTIONS] = 7
        self._mailbox.sendall(frame(answer))

    def _take_changes(self, changes: dict[str, Any]) -> None:
        answer = {"kind": "applied", "generation": changes["generation"]}
        if changes["base"] != self._generation:
            answer |= {"kind": "refused", "reason": f"generation {self._generation} runs"}
        self._generation = changes["generation"]
        self._board.cells[self._cells + W_REQUESTS] += 1
        self._mailbox.sendall(frame(answer))


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("--index", "--board", "--mailbox"):
        parser.add_argument(name, type=int, required=True)
    parser.add_argument("--wakers", required=True)
    parser.add_argument("--modules", action="append", default=[])
    given = parser.parse_args()
    FakeWorker(given.index, Board(given.board), socket.socket(fileno=given.mailbox)).run()


if __name__ == "__main__":
    main()
