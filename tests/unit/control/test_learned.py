"""Over an upgrade: of several workers, what the one had learned that has seen most goes on."""

from typing import Any, cast

from penstock.control.upgrade.learned import ask_learned, tell_learned
from penstock.control.workers.workers import Workers


class Answering:
    """Workers that answer so, and hear what they are told."""

    def __init__(self, *answers: dict[str, object]) -> None:
        self.answers = list(answers)
        self.told: list[dict[str, object]] = []

    async def ask_all(self, question: dict[str, object]) -> list[dict[str, object]]:
        assert question == {"kind": "learned"}
        return self.answers

    async def send_all(self, message: dict[str, object]) -> None:
        self.told.append(message)


def known(samples: object) -> dict[str, Any]:
    return {"policy": "marginal-cost", "version": 1, "state": {"samples": samples}}


async def test_of_each_pool_the_one_that_has_seen_most() -> None:
    workers = Answering(
        {"learned": {"a": known(5), "b": known(9)}},
        {"learned": {"a": known(7), "b": known("many")}},
        {"learned": "nothing"},
        {},
    )
    found = await ask_learned(cast(Workers, workers))
    assert found == {"a": known(7), "b": known(9)}


async def test_nobody_is_told_of_nothing() -> None:
    workers = Answering()
    await tell_learned(cast(Workers, workers), {})
    assert workers.told == []
    await tell_learned(cast(Workers, workers), {"a": known(1)})
    assert workers.told == [{"kind": "take_learned", "learned": {"a": known(1)}}]
