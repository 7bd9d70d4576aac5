"""Calls in processes of their own: their results, and whatever else may come of them."""

import os
import signal
from collections.abc import Callable
from contextlib import closing
from functools import partial
from multiprocessing import Pipe, active_children
from multiprocessing.process import BaseProcess

import pytest

from penstock.sim.parallel import ProcessDiedError, StoppedError, results

Running = Callable[[], set[BaseProcess]]


@pytest.fixture
def running() -> Running:
    """The processes of this test that run: others may keep some in the same process."""
    before = set(active_children())
    return lambda: set(active_children()) - before


def test_every_call_is_made_once_whatever_the_number_of_processes(running: Running) -> None:
    calls = [partial(divmod, number, 3) for number in range(7)]
    for processes in (1, 2, 9):
        assert sorted(results(calls, processes)) == [divmod(number, 3) for number in range(7)]
    assert not running()


def test_what_a_call_raises_is_raised_with_its_trace(running: Running) -> None:
    with pytest.raises(ZeroDivisionError) as raised:
        list(results([partial(divmod, 1, 0)], 1))
    assert "Traceback" in "".join(raised.value.__notes__)
    assert not running()


class _CannotTravelError(Exception):
    def __init__(self, one: str, other: str) -> None:
        super().__init__(one + other)


def _raise_what_cannot_travel() -> None:
    raise _CannotTravelError("this ", "and that")


def test_an_exception_that_cannot_be_pickled_is_told_by_its_trace() -> None:
    with pytest.raises(RuntimeError, match="_CannotTravelError: this and that"):
        list(results([_raise_what_cannot_travel], 1))


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_dies_is_told_and_ends_the_others(running: Running) -> None:
    with pytest.raises(ProcessDiedError, match="status -9"):
        list(results([_die, signal.pause], 2))
    assert not running()


def test_what_still_runs_is_killed_when_nobody_wants_it_any_more(running: Running) -> None:
    calls: list[Callable[[], int | None]] = [partial(abs, -1), signal.pause]
    with closing(results(calls, 2)) as ended:
        assert next(ended) == 1
        assert running()
    assert not running()


def test_what_still_runs_is_killed_when_told_to_stop(running: Running) -> None:
    stop, told = Pipe(duplex=False)
    told.send("enough")
    with pytest.raises(StoppedError):
        list(results([signal.pause], 1, stop))
    assert not running()
