"""Reports as a person opens them: from a file, in Chromium, light and dark."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.sim.experiment import compare
from penstock.sim.report.chart import Axis, Curve, chart
from penstock.sim.report.page import comparison_page
from penstock.sim.report.whole_page import whole_page
from penstock.sim.scenario_file import scenario_of
from tests.browser.chromium import Page, contrasts, opened

SHOTS = Path("build/reports")
HOSTILE = "</script><img src=x onerror=document.title='owned'>"


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with opened(tmp_path) as made:
        made.look_like(1440, 1300, scheme="light")
        yield made
        assert made.logged == [], "its policy lets all of it run, and nothing failed"


def inked(page: Page) -> list[int]:
    """How many pixels of each chart are neither empty nor grey."""
    found: list[int] = page.run(
        """[...document.querySelectorAll("figure canvas")].map((canvas) => {
             const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
             let seen = 0;
             for (let at = 0; at < data.length; at += 4) {
               const [r, g, b, a] = data.subarray(at, at + 4);
               seen += a > 128 && Math.max(r, g, b) - Math.min(r, g, b) > 60;
             }
             return seen;
           })"""
    )
    return found


def test_a_comparison_is_drawn_and_legible_light_and_dark(page: Page, tmp_path: Path) -> None:
    scenario = scenario_of(
        {
            "name": "three servers",
            "servers": [{"count": 3}],
            "arrivals": {"load": 0.8},
            "policies": ["random", "least-request"],
            "run": {"customers": 3000, "replications": 2},
        }
    )
    file = tmp_path / "report.html"
    file.write_text(comparison_page(compare(scenario, processes=0, timeline=True)), "utf-8")
    page.visit(file.as_uri())
    for scheme in ("light", "dark"):
        page.look_like(1440, 1300, scheme=scheme)
        page.wait_for("document.querySelectorAll('figure canvas').length === 5", "charts are drawn")
        page.run("new Promise(requestAnimationFrame)")
        assert min(inked(page)) > 50
        assert contrasts(page) == []
        page.screenshot(SHOTS / f"{scheme}.png")
    page.look_like(390, 844, scheme="light", phone=True)
    page.wait_for("document.documentElement.scrollWidth <= 390", "nothing sticks out")
    page.screenshot(SHOTS / "phone.png")


def test_hostile_names_stay_text(page: Page, tmp_path: Path) -> None:
    drawn = chart(HOSTILE, Axis(HOSTILE), Axis(""), [Curve(HOSTILE, [(0.0, 1.0), (1.0, 2.0)])])
    file = tmp_path / "report.html"
    file.write_text(whole_page("Penstock", drawn), "utf-8")
    page.visit(file.as_uri())
    page.wait_for("document.querySelectorAll('figure canvas').length === 1", "it is drawn")
    assert page.run("document.querySelectorAll('img').length") == 0
    assert page.run("document.querySelector('figcaption').textContent") == HOSTILE
    assert page.run("document.title") == "Penstock"
