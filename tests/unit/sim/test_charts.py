"""Charts of reports, and the page that they stand in."""

import re
from base64 import b64encode
from hashlib import sha256
from math import inf, nan

from penstock.sim.report.chart import Axis, Curve, chart
from penstock.sim.report.whole_page import whole_page
from tests.harness.reports import drawings_of

HOSTILE = "</script><img src=x onerror=alert(1)>"


def test_curves_share_their_places_and_have_gaps_elsewhere() -> None:
    curves = [Curve("a", [(0.0, 1.0), (2.0, 3.0)]), Curve("b", [(1.0, 5.0)], dashed=True)]
    (drawing,) = drawings_of(chart("t", Axis("x"), Axis(""), curves))
    assert drawing["data"] == [[0.0, 1.0, 2.0], [1.0, None, 3.0], [None, 5.0, None]]
    assert [each["dashed"] for each in drawing["curves"]] == [False, True]


def test_what_cannot_be_drawn_is_left_out() -> None:
    points = [(0.0, 1.0), (1.0, nan), (2.0, inf), (3.0, 0.0), (4.0, 2.0)]
    (drawing,) = drawings_of(
        chart("t", Axis("x", "duration", True), Axis("", "nines", True), [Curve("a", points)])
    )
    assert drawing["data"] == [[4.0], [2.0]]
    assert chart("t", Axis("x"), Axis(""), [Curve("a", [])]) == ""


def test_hostile_names_are_text() -> None:
    drawn = chart(HOSTILE, Axis(HOSTILE), Axis(""), [Curve(HOSTILE, [(0.0, 1.0)])])
    assert "<img" not in drawn
    assert drawn.count("</script>") == 1
    (drawing,) = drawings_of(drawn)
    assert drawing["x"]["label"] == HOSTILE
    assert "<img" not in whole_page(HOSTILE, drawn)


def test_a_page_runs_and_shows_nothing_but_what_stands_in_it() -> None:
    page = whole_page("title", chart("t", Axis("x"), Axis(""), [Curve("a", [(0.0, 1.0)])]))
    found = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert found is not None
    policy = found[1]
    assert policy.startswith("default-src 'none'; ")
    for tag in ("style", "script"):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        hashed = b64encode(sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{hashed}'" in policy
    assert not re.search(r"<[^>]*\s(src|href|style|on\w+)=", page.partition("<script>")[0])
    assert "Copyright" in page, "uPlot's notice stays with it"
