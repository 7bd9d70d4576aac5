"""`penstock demo` ends by itself where nobody is there to end it."""

import pytest
from click.testing import CliRunner

from penstock.cli import demo as module
from penstock.fleet.demo.story import DemoView


@pytest.mark.parametrize(("options", "seconds"), [([], 60.0), (["--seconds", "5"], 5.0)])
def test_without_a_terminal_it_ends_after_one_story(
    options: list[str], seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float | None] = []

    async def run_demo(show: object, bound: float | None) -> DemoView:
        asked.append(bound)
        return DemoView()

    monkeypatch.setattr(module, "run_demo", run_demo)
    CliRunner().invoke(module.demo, options)
    assert asked == [seconds]
