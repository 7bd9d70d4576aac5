"""Fixtures that every kind of test shares. What they are made of is in ``tests.harness``."""

import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from penstock.core.snapshot import Snapshot
from penstock.fleet.ports import hold
from tests.harness.endpoint import Script, ScriptedEndpoint
from tests.harness.http_endpoint import HttpEndpoint
from tests.harness.process import Spares, WorkerProcess
from tests.harness.worker import Worker

# No test depends on the speed of the machine that runs it.
settings.register_profile("penstock", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("penstock")

# A shell starts its background jobs with SIGINT ignored, and processes inherit that: what tests
# start must mind Ctrl-C as a person's command does, wherever the tests themselves run.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def endpoint() -> Iterator[HttpEndpoint]:
    """A well-behaved endpoint that records what it is asked."""
    with HttpEndpoint() as made:
        yield made


@pytest.fixture
def other_endpoint() -> Iterator[HttpEndpoint]:
    """A second one."""
    with HttpEndpoint() as made:
        yield made


@pytest.fixture
def scripted() -> Iterator[Callable[[Script], ScriptedEndpoint]]:
    """Makes endpoints whose connections play a script."""
    made: list[ScriptedEndpoint] = []

    def make(script: Script) -> ScriptedEndpoint:
        made.append(ScriptedEndpoint(script))
        return made[-1]

    yield make
    for endpoint in made:
        endpoint.close()


@pytest.fixture
def free_port() -> Iterator[int]:
    """A port that nobody listens on, and that the system gives to nobody else meanwhile.

    Who wants it in earnest sets SO_REUSEADDR.
    """
    port, held = hold("127.0.0.1", 0)
    yield port
    if held is not None:
        held.close()


@pytest.fixture(scope="session")
def spares() -> Iterator[Spares]:
    """Worker processes started ahead."""
    made = Spares()
    yield made
    made.abandon()


@pytest.fixture
def start(spares: Spares) -> Iterator[Callable[..., Worker]]:
    """Starts workers, and at the end of the test stops them and checks that they ended well."""
    started: list[Worker] = []

    def start_worker(snapshot: Snapshot, **settings: Any) -> Worker:
        process = WorkerProcess(**settings) if settings else spares.take()
        started.append(Worker(snapshot, process))
        return started[-1]

    yield start_worker
    for worker in reversed(started):
        worker.__exit__(None, None, None)
