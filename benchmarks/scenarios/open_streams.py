"""Ten thousand SSE streams open at once, each trickling: CPU per chunk, memory per stream."""

import time
from typing import Final

from benchmarks import accounts
from benchmarks.limits import most_descriptors
from benchmarks.load.counted import CountedLoad
from benchmarks.process import Process
from benchmarks.scenarios.scenario import Bench, Sample, Target
from benchmarks.scenarios.stream import StreamedChunk, measure_chunks

_STREAMS: Final = 10_000
_QUICK_STREAMS: Final = 1_000
# Listeners, epoll, health checks, metrics, pipes to other processes.
_OTHER_DESCRIPTORS: Final = 160
_SETTLE_S: Final = 2.0


class OpenStreams(StreamedChunk):
    name = "open-streams"
    title = "10,000 open streams"
    shown = ("streams", "KB per stream")
    method = (
        "As the streamed chunk, with 10,000 streams open at once (or as many as the descriptor "
        "limit of one process allows, at two for each and an eighth in reserve), a 200-byte event "
        "every 2 s on each. Memory is counted as for the idle connection."
    )
    period_ms = 2000

    def targets(self) -> list[Target]:
        return []

    def streams_to_open(self, bench: Bench) -> int:
        possible = (most_descriptors() * 7 // 8 - _OTHER_DESCRIPTORS) // 2
        return min(_QUICK_STREAMS if bench.quick else _STREAMS, possible)

    def sample(
        self, process: Process, port: int, streams: int, cores: frozenset[int], bench: Bench
    ) -> Sample:
        pids = process.tree()
        before = accounts.memory_bytes(pids)
        with CountedLoad(
            "benchmarks.load.stream_client", cores, port=port, streams=streams
        ) as client:
            client.wait_until("open", streams)
            time.sleep(_SETTLE_S)
            sample = measure_chunks(process, client, bench.seconds)
            grown = accounts.memory_bytes(pids) - before
        seen = {"streams": float(streams), "KB per stream": grown / streams / 1024, **sample.seen}
        return Sample(sample.value, seen)
