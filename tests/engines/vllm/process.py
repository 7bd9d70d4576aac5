"""A vLLM server as a process whose engine core tests stop and let go on."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from tests.harness.waiting import wait_until

START_S = 300.0  # two of them on two cores, with all that Python imports
_CORE = b"EngineCore"
# Any free ports, on VLLM_HOST_IP alone. An `endpoint` without `*` is connected to, not listened on.
_PUBLISHER = (
    '{"enable_kv_cache_events": true, "publisher": "zmq", "topic": "kv", '
    '"endpoint": "tcp://*:0", "replay_endpoint": "tcp://*:0"}'
)


class Vllm:
    """One engine on loopback, with events of its KV cache on a port of its own."""

    def __init__(self, command: Path, model: Path, port: int, log: Path) -> None:
        """``port`` is that of its API."""
        self.url = f"http://127.0.0.1:{port}"
        arguments = [
            *("serve", str(model), "--host", "127.0.0.1", "--port", str(port)),
            *("--served-model-name", "tiny", "--dtype", "float32", "--enforce-eager"),
            *("--max-model-len", "4096", "--max-num-seqs", "8"),
            *("--block-size", "32", "--num-gpu-blocks-override", "512"),
            *("--enable-prefix-caching", "--enable-prompt-tokens-details"),
            *("--kv-events-config", _PUBLISHER),
        ]
        with log.open("a") as output:
            self._process = subprocess.Popen(
                [str(command), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,
                env={
                    **os.environ,
                    "VLLM_CPU_KVCACHE_SPACE": "1",
                    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
                    "OMP_NUM_THREADS": "1",
                    "VLLM_HOST_IP": "127.0.0.1",
                    "HF_HUB_OFFLINE": "1",
                    "VLLM_NO_USAGE_STATS": "1",
                },
            )

    def wait_until_up(self) -> None:
        wait_until(self._is_up, f"{self.url} is up", timeout_s=START_S)

    def hang(self) -> None:
        """Its core computes no more; its API answers ``/health`` all the same."""
        for pid in self._cores():
            os.kill(pid, signal.SIGSTOP)

    def go_on(self) -> None:
        for pid in self._cores():
            os.kill(pid, signal.SIGCONT)

    def _is_up(self) -> bool:
        assert self._process.poll() is None, "vLLM ended"
        try:
            return httpx.get(f"{self.url}/health").status_code == 200
        except httpx.TransportError:
            return False

    def _cores(self) -> list[int]:
        found = [pid for pid in _descendants(self._process.pid) if _CORE in _title(pid)]
        assert found, "no engine core was found"
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for pid in [*_descendants(self._process.pid), self._process.pid]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._process.wait()


def _descendants(pid: int) -> Iterator[int]:
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            yield from _descendants(int(child))
            yield int(child)


def _title(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/comm").read_bytes()
