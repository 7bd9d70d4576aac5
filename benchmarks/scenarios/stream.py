"""A streamed SSE chunk, passed on as it comes."""

import time
from contextlib import ExitStack

from benchmarks.backends import start_streams
from benchmarks.cores import split
from benchmarks.failure import LoadError
from benchmarks.load.counted import CountedLoad
from benchmarks.process import Process
from benchmarks.scenarios.scenario import (
    ANCHORS,
    PENSTOCK,
    Bench,
    Case,
    CpuAccount,
    Sample,
    Scenario,
    Target,
    make_site,
    temporary_directory,
)

_SETTLE_S = 0.5


class StreamedChunk(Scenario):
    name = "sse"
    title = "Streamed SSE chunk"
    unit = "µs of CPU per chunk"
    method = (
        "256 streams over two backends; each gets a 200-byte event every 20 ms (12,800 chunks a "
        "second in all), sent in one write of its own and due before the next of the same stream, "
        "so that none need be merged. Events per client read tells whether any was."
    )
    streams = 256
    period_ms = 20

    def targets(self) -> list[Target]:
        return [Target(PENSTOCK, ANCHORS, 0.95)]

    def measure(self, case: Case, bench: Bench) -> Sample:
        cores = split()
        streams = self.streams_to_open(bench)
        with ExitStack() as stack:
            directory = stack.enter_context(temporary_directory())
            endpoints: list[tuple[str, int]] = []
            for name in ("backend-1", "backend-2"):
                backend, address = start_streams(
                    directory, cores.load, name, period_ms=self.period_ms
                )
                stack.enter_context(backend)
                endpoints.append(address)
            site = make_site(endpoints, directory, streaming=True, connections=streams + 32)
            process = stack.enter_context(case.balancer.start(site, cores.balancer))
            time.sleep(_SETTLE_S)
            return self.sample(process, site.port, streams, cores.load, bench)

    def streams_to_open(self, bench: Bench) -> int:
        return self.streams

    def sample(
        self, process: Process, port: int, streams: int, cores: frozenset[int], bench: Bench
    ) -> Sample:
        """CPU per event while all streams are open."""
        with CountedLoad(
            "benchmarks.load.stream_client", cores, port=port, streams=streams
        ) as client:
            client.wait_until("open", streams)
            time.sleep(_SETTLE_S)
            return measure_chunks(process, client, bench.seconds)


def measure_chunks(process: Process, client: CountedLoad, seconds: float) -> Sample:
    """CPU per event over that time. Raises LoadError when a stream ended."""
    before = client.ask()
    account = CpuAccount(process)
    begun = time.monotonic()
    time.sleep(seconds)
    after = client.ask()
    elapsed_s = time.monotonic() - begun
    if after["ended"]:
        raise LoadError(f"{after['ended']} streams ended")
    events = after["events"] - before["events"]
    if not events:
        raise LoadError("no event came through")
    seen = account.per_unit(events, elapsed_s)
    value = seen.pop("µs")
    seen["chunks/s"] = events / elapsed_s
    seen["events per read"] = events / (after["reads"] - before["reads"])
    return Sample(value, seen)
