"""Servers do the work they are given at their speed, in their order, and lose what they must."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.sim.kernel.events import Clock
from penstock.sim.kernel.faults import Failure, Pause, Recovery, SpeedChange
from penstock.sim.kernel.server import FifoServer, Server, SharingServer
from tests.unit.sim.worlds import SmallWorld

KINDS = pytest.mark.parametrize("kind", [FifoServer, SharingServer])


def answered(server: Server, arrivals: list[float], work: list[float]) -> list[float]:
    ends = SmallWorld(server.clock, [server]).play(arrivals, work)
    assert {how for _, how in ends} <= {"200"}
    return [at for at, _ in ends]


def test_one_slot_serves_in_order_of_arrival() -> None:
    server = FifoServer("s", Clock())
    assert answered(server, [0.0, 1.0, 1.5], [2.0, 1.0, 0.5]) == [2.0, 3.0, 3.5]


def test_two_slots_serve_two_at_a_time() -> None:
    server = FifoServer("s", Clock(), slots=2)
    assert answered(server, [0.0, 0.0, 0.0], [2.0, 3.0, 2.0]) == [2.0, 3.0, 4.0]


def test_sharing_halves_the_speed_of_two() -> None:
    server = SharingServer("s", Clock())
    # Alone until 1, then both at half speed: the first lacks 1 and gets it at 3.
    assert answered(server, [0.0, 1.0], [2.0, 2.0]) == [3.0, 4.0]


def test_sharing_two_cores_slows_nobody_until_a_third_comes() -> None:
    server = SharingServer("s", Clock(), slots=2)
    assert answered(server, [0.0, 0.0, 0.0], [2.0, 2.0, 2.0]) == [3.0, 3.0, 3.0]


@KINDS
def test_a_fast_server_takes_its_share_of_the_time(kind: type[Server]) -> None:
    server = kind("s", Clock(), speed=4.0)
    assert answered(server, [0.0], [2.0]) == [0.5]


@KINDS
def test_work_under_way_goes_on_at_a_changed_speed(kind: type[Server]) -> None:
    clock = Clock()
    server = kind("s", clock)
    clock.at(SpeedChange(server, 0.5), 1.0)
    clock.at(SpeedChange(server, 2.0), 2.0)
    # 1 s of work by 1, half a second by 2, and the rest at double speed.
    assert answered(server, [0.0], [2.0]) == [2.25]


@KINDS
def test_a_pause_delays_and_loses_nothing(kind: type[Server]) -> None:
    clock = Clock()
    server = kind("s", clock)
    clock.at(Pause(server, 5.0), 1.0)
    assert answered(server, [0.0, 2.0], [2.0, 0.5])[0] in (7.0, 7.5)
    assert server.speed == 1.0


@KINDS
def test_a_full_server_refuses(kind: type[Server]) -> None:
    server = kind("s", Clock(), room=1)
    ends = SmallWorld(server.clock, [server]).play([0.0, 0.5, 2.0], [1.0, 1.0, 1.0])
    assert ends == [(1.0, "200"), (0.5, "503"), (3.0, "200")]


@KINDS
def test_a_failure_loses_what_is_there_and_refuses_until_recovery(kind: type[Server]) -> None:
    clock = Clock()
    server = kind("s", clock)
    world = SmallWorld(clock, [server])
    clock.at(Failure(0, [world.balancer], 100.0), 1.0)
    clock.at(Recovery(0, [world.balancer], 100.0), 3.0)
    ends = world.play([0.0, 0.0, 2.0, 4.0], [5.0, 5.0, 1.0, 1.0])
    assert ends == [(1.0, "reset"), (1.0, "reset"), (2.0, "connect_failed"), (5.0, "200")]
    assert server.present == 0


@given(
    arrivals=st.lists(st.floats(0, 20), min_size=1, max_size=30),
    work=st.lists(st.floats(0.01, 3), min_size=30, max_size=30),
    slots=st.integers(1, 4),
    changes=st.lists(st.tuples(st.floats(0, 30), st.floats(0.1, 3)), max_size=4),
)
def test_all_work_is_done_once_whatever_the_speed(
    arrivals: list[float],
    work: list[float],
    slots: int,
    changes: list[tuple[float, float]],
) -> None:
    arrivals = sorted(arrivals)
    for kind in (FifoServer, SharingServer):
        clock = Clock()
        server = kind("s", clock, slots=slots)
        for at, speed in changes:
            clock.at(SpeedChange(server, speed), at)
        world = SmallWorld(clock, [server])
        ends = world.play(arrivals, work[: len(arrivals)])
        assert all(how == "200" for _, how in ends)
        assert server.served == len(arrivals)
        assert server.work_done_s == pytest.approx(sum(work[: len(arrivals)]))
        assert server.present == 0
        fastest = max([1.0, *(speed for _, speed in changes)])
        for (end, _), born, amount in zip(ends, arrivals, work, strict=False):
            assert end >= born + amount / fastest - 1e-6


@given(
    arrivals=st.lists(st.floats(0, 20), min_size=1, max_size=30),
    work=st.lists(st.floats(0.01, 3), min_size=30, max_size=30),
)
def test_one_slot_finishes_the_last_job_when_sharing_does(
    arrivals: list[float], work: list[float]
) -> None:
    arrivals = sorted(arrivals)
    ends = [
        max(answered(kind("s", Clock()), arrivals, work[: len(arrivals)]))
        for kind in (FifoServer, SharingServer)
    ]
    assert ends[0] == pytest.approx(ends[1])  # both conserve work
