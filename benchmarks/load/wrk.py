"""wrk as the load: a closed loop of keep-alive connections that send one POST after the other."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.balancers.balancer import find
from benchmarks.cores import on
from benchmarks.failure import LoadError

CONNECTIONS: Final = 64
_SCRIPT: Final = Path(__file__).with_name("post.lua")
_CHATS: Final = Path(__file__).with_name("chat.lua")
_REPORT: Final = Path(__file__).with_name("report.lua")  # what either says at its end
_ERRORS: Final = ("connect", "read", "write", "status", "timeout")


@dataclass(frozen=True)
class Requests:
    """What one run did."""

    count: int
    duration_s: float
    p50_us: int
    p99_us: int
    errors: dict[str, int]

    @property
    def per_s(self) -> float:
        return self.count / self.duration_s


def send_requests(
    url: str,
    cores: frozenset[int],
    duration_s: float,
    *,
    connections: int = CONNECTIONS,
    threads: int = 1,
    close: bool = False,
    body: str = "",
    key: str = "",
    prompt_tokens: int = -1,
) -> Requests:
    """Run wrk. ``close``: every request asks for the connection to be closed. ``body`` and ``key``:
    others than usual. ``prompt_tokens``: it sends streamed chats with prompts so long, no two of
    them alike; with 0 short ones that are not streamed, and the same."""
    command = [
        find("wrk"),
        f"-t{threads}",
        f"-c{connections}",
        f"-d{max(1, round(duration_s))}s",
        "--timeout=30s",
        f"-s{_SCRIPT if prompt_tokens < 0 else _CHATS}",
        url,
    ]
    said = {"BENCHMARK_CLOSE": "1" * close, "BENCHMARK_BODY": body, "BENCHMARK_KEY": key}
    environment = {**os.environ, **{name: value for name, value in said.items() if value}}
    environment["PROMPT_TOKENS"] = str(prompt_tokens)
    environment["BENCHMARK_REPORT"] = str(_REPORT)
    with on(cores):
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    numbers: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return Requests(
        numbers["requests"],
        numbers["duration_us"] / 1e6,
        numbers["p50_us"],
        numbers["p99_us"],
        {kind: numbers[kind] for kind in _ERRORS if numbers[kind]},
    )


def send_requests_without_error(
    url: str,
    cores: frozenset[int],
    duration_s: float,
    *,
    threads: int = 1,
    body: str = "",
    key: str = "",
    prompt_tokens: int = -1,
) -> Requests:
    """As ``send_requests``. Raises LoadError when any request failed."""
    done = send_requests(
        url,
        cores,
        duration_s,
        threads=threads,
        body=body,
        key=key,
        prompt_tokens=prompt_tokens,
    )
    if done.errors or not done.count:
        raise LoadError(f"{done.count} requests to {url}, errors: {done.errors}")
    return done
