"""What stands behind the balancers: nginx for short answers, ``stream_server`` for SSE."""

import sys
from pathlib import Path

from benchmarks.backends import static
from benchmarks.balancers.balancer import find
from benchmarks.process import Process, free_ports

__all__ = ["start_plain", "start_static", "start_streams"]


def start_static(
    directory: Path,
    cores: frozenset[int],
    name: str,
    addresses: list[str] | None = None,
    *,
    grpc: bool = False,
    body: str = static.BODY,
    events: bool = False,
) -> tuple[Process, list[tuple[str, int]]]:
    """One nginx with one worker that answers everything itself, and where it listens.

    ``addresses``: all of them, on one port, so that one server stands for many endpoints.
    ``grpc``: it answers calls of gRPC. ``body``: of its answers, where it does not.
    ``events``: those are a stream's.
    """
    hosts = addresses or ["127.0.0.1"]
    port = free_ports(1)[0]
    file = directory / f"{name}.conf"
    file.write_text(
        static.configuration(directory, name, hosts, port, grpc=grpc, body=body, events=events)
    )
    process = Process(
        [find("nginx"), "-p", str(directory), "-e", "stderr", "-c", str(file)],
        cores=cores,
        log=directory / f"{name}.log",
    )
    try:
        process.wait_until_listening(port, host=hosts[-1])
    except BaseException:
        process.stop()
        raise
    return process, [(host, port) for host in hosts]


def start_streams(
    directory: Path, cores: frozenset[int], name: str, *, period_ms: int
) -> tuple[Process, tuple[str, int]]:
    """One ``stream_server`` that gives every open stream a chunk each period, and its address."""
    port = free_ports(1)[0]
    return _stream_server(directory, cores, name, port, period_ms), ("127.0.0.1", port)


def start_plain(directory: Path, cores: frozenset[int], port: int) -> Process:
    """One process, and no other, that answers ``ok`` on that port."""
    return _stream_server(directory, cores, f"endpoint-{port}", port, period_ms=1000)


def _stream_server(
    directory: Path, cores: frozenset[int], name: str, port: int, period_ms: int
) -> Process:
    options = ["--port", str(port), "--period-ms", str(period_ms)]
    process = Process(
        [sys.executable, "-m", "benchmarks.backends.stream_server", *options],
        cores=cores,
        log=directory / f"{name}.log",
    )
    try:
        process.wait_until_listening(port)
    except BaseException:
        process.stop()
        raise
    return process
