"""What a soak calls flat."""

import pytest

from benchmarks.soak import Point, Soak

MIB = 1 << 20


def soak(memory_mib: list[float], descriptors: list[int] | None = None) -> Soak:
    counts = descriptors or [50] * len(memory_mib)
    return Soak(
        [
            Point((n + 1) * 1000, int(mib * MIB), count)
            for n, (mib, count) in enumerate(zip(memory_mib, counts, strict=True))
        ],
        {},
    )


def test_memory_that_only_warms_up_is_flat() -> None:
    assert soak([20.0, 40.0, 50.0, 50.0, 50.1, 50.0, 50.1, 50.2]).is_memory_flat()


def test_memory_that_grows_on_is_not_flat() -> None:
    assert not soak([50.0, 51.0, 52.0, 53.0, 54.0, 55.0, 56.0, 57.0]).is_memory_flat()


@pytest.mark.parametrize(("last", "flat"), [(85, True), (86, False)])
def test_descriptors_may_come_and_go_but_not_pass_their_earlier_most(last: int, flat: bool) -> None:
    counts = [20, 85, 30, 85, 20, 60, 70, last]

    assert soak([50.0] * 8, counts).are_descriptors_flat() is flat
