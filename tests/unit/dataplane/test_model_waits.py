"""Who misses a model has endpoints asked once more, and not more often than once a second."""

from random import Random

import pytest

from penstock._form import form
from penstock.core.env import Env
from penstock.dataplane.pool.model_waits import (
    MODELS_CHANGED,
    MODELS_WANTED,
    ModelsAwaiter,
    ModelWaits,
    ToldAtOnce,
)

pytestmark = pytest.mark.skipif(
    form() == "compiled", reason="what waits is a trait, which no test can inherit compiled"
)


class Told(ToldAtOnce):
    def __init__(self) -> None:
        self.notices: list[dict[str, object]] = []

    def tell(self, notice: dict[str, object]) -> None:
        self.notices.append(notice)


class Waiting(ModelsAwaiter):
    """An exchange, as far as it waits."""

    def __init__(self) -> None:
        self.left = False
        self.went_on = 0

    def has_ended(self) -> bool:
        return self.left

    def on_models_known(self) -> None:
        self.went_on += 1


def waits() -> tuple[ModelWaits, Env, Told]:
    env = Env(Random(1), 100.0)
    made, told = ModelWaits("main", env), Told()
    made.supervisor = told
    return made, env, told


def test_all_that_miss_a_model_wait_for_one_look() -> None:
    made, _, told = waits()
    first, second = Waiting(), Waiting()
    assert made.add(first)
    assert made.add(second)
    assert told.notices == [{"event": MODELS_WANTED, "message": "", "pool": "main"}]
    made.go_on()
    assert (first.went_on, second.went_on, len(made)) == (1, 1, 0)


def test_made_up_names_have_endpoints_asked_once_a_second() -> None:
    made, env, told = waits()
    assert made.add(Waiting())
    made.go_on()
    env.now += 0.9
    assert not made.add(Waiting())  # it is 404 at once
    env.now += 0.2
    assert made.add(Waiting())
    assert len(told.notices) == 2


def test_after_a_request_that_may_have_changed_them_endpoints_are_asked_in_any_case() -> None:
    made, env, told = waits()
    assert made.add(Waiting())
    made.go_on()
    env.now += 0.1
    made.changed()
    assert told.notices[-1]["message"] == MODELS_CHANGED
    assert made.add(Waiting())


def test_nobody_waits_for_a_supervisor_that_is_gone() -> None:
    made, env, _ = waits()
    one = Waiting()
    assert made.add(one)
    made.on_sweep(env.now)
    assert one.went_on == 0
    env.now += 4.0
    made.on_sweep(env.now)
    assert one.went_on == 1


def test_who_left_meanwhile_does_not_go_on() -> None:
    made, _, _ = waits()
    one = Waiting()
    made.add(one)
    one.left = True
    made.go_on()
    assert one.went_on == 0
