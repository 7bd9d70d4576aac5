"""The dashboard as a person has it: in Chromium, at a real balancer."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.browser.chromium import Page, contrasts, opened
from tests.harness.balancer import Balancer
from tests.harness.http_endpoint import HttpEndpoint
from tests.harness.waiting import wait_until

TOKEN = "a-secret-token-of-some-length"
READ_TOKEN = "a-token-for-those-who-look"
HOSTILE = "<img src=x onerror=document.title='owned'>"
SEEN = "document.body.innerText"
SHOTS = Path("build/dashboard")
ROWS = "[...document.querySelectorAll('.grid .row:not([hidden])')]"
MANY = 1000


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with opened(tmp_path) as made:
        made.look_like(1440, 900, scheme="light")
        yield made
        assert made.logged == [], "no policy was violated, nothing failed"


@pytest.fixture
def balancer(tmp_path: Path) -> Iterator[Balancer]:
    """Two endpoints that answer, with decisions of every request, and one with a hostile model."""
    with ExitStack() as stack:
        web = [stack.enter_context(HttpEndpoint()) for _ in range(2)]
        endpoints = [
            {"url": f"http://127.0.0.1:{each.port}", "name": f"web-{n}", "zone": f"z{n}"}
            for n, each in enumerate(web)
        ]
        engine = {"url": "http://127.0.0.1:1", "name": "engine", "models": [HOSTILE]}
        document = {
            "admin": {"address": "127.0.0.1:0", "token": TOKEN, "read_token": READ_TOKEN},
            "workers": 1,
            "pools": {
                "main": {
                    "endpoints": endpoints,
                    "health_check": {"path": "/", "interval": "1s"},
                    "decisions": {"sample": 1.0},
                },
                "models": {"kind": "llm", "endpoints": [engine]},
            },
            "routes": [{"name": "all", "pool": "main"}],
        }
        yield stack.enter_context(Balancer(tmp_path, document))


def sign_in(page: Page, balancer: Balancer, token: str) -> None:
    page.visit(balancer.admin_url)
    page.wait_for("document.querySelector('#token')", "the token is asked for")
    assert not page.run(f"{SEEN}.includes('web-0')"), "nothing is shown before"
    page.run(f"document.querySelector('#token').value = {token!r}")
    page.run("document.querySelector('dialog form').requestSubmit()")
    page.wait_for(f"{ROWS}.length === 3", "the endpoints are shown")


def row(name: str) -> str:
    return f"{ROWS}.find(each => each.innerText.includes({name!r}))"


def ask(balancer: Balancer, target: str) -> None:
    with balancer.connect() as client:
        assert client.get(target).status == 200


def test_an_endpoint_is_drained_and_the_draining_undone(page: Page, balancer: Balancer) -> None:
    sign_in(page, balancer, TOKEN)
    assert TOKEN not in page.run("location.href")
    page.wait_for(f"{row('web-0')}.innerText.includes('up')", "it is up")
    page.run(f"{row('web-0')}.click()")
    page.press("d")
    page.wait_for("document.querySelector('dialog[open] #confirm')", "it is asked first")
    told = page.run("document.querySelector('dialog').innerText")
    assert "Drain main/web-0?" in told
    assert "in flight there will finish" in told
    assert balancer.endpoint("web-0")["state"] == "up", "nothing is done yet"
    page.press("Enter")
    wait_until(lambda: balancer.endpoint("web-0")["state"] == "draining", "it drains")
    page.wait_for(f"{row('web-0')}.innerText.includes('draining')", "it is shown draining")
    page.press("Escape")
    page.press("z")
    wait_until(lambda: balancer.endpoint("web-0")["state"] == "up", "that was undone")


def test_the_last_endpoint_is_not_drained_unwarned(page: Page, balancer: Balancer) -> None:
    balancer.ask("/api/v1/drain", {"pool": "main", "endpoint": "web-1"})
    sign_in(page, balancer, TOKEN)
    page.wait_for(f"{row('web-1')}.innerText.includes('draining')", "the other drains")
    page.wait_for(f"{row('web-0')}.innerText.includes('up')", "it is up")
    page.run(f"{row('web-0')}.click()")
    page.press("d")
    told = page.run("document.querySelector('dialog').innerText")
    assert "clients will get 503" in told
    assert page.run("document.querySelector('#confirm').className") == "danger"


def test_a_weight_is_set_and_undone(page: Page, balancer: Balancer) -> None:
    sign_in(page, balancer, TOKEN)
    page.run(f"{row('web-1')}.click()")
    page.press("w")
    page.run("document.querySelector('dialog input').value = '3'")
    page.run("document.querySelector('dialog input').dispatchEvent(new Event('input'))")
    page.run("document.querySelector('dialog form').requestSubmit()")
    wait_until(lambda: balancer.endpoint("web-1")["weight"] == 3.0, "it has the weight")
    page.wait_for("document.querySelector('.toast button')", "it can be undone")
    page.run("document.querySelector('.toast button').click()")
    wait_until(lambda: balancer.endpoint("web-1")["weight"] == 1.0, "it was undone")


def test_with_the_read_token_there_is_nothing_to_press(page: Page, balancer: Balancer) -> None:
    sign_in(page, balancer, READ_TOKEN)
    page.run(f"{row('web-0')}.click()")
    page.press("d")
    assert not page.run("document.querySelector('dialog').open")
    assert (
        page.run("getComputedStyle(document.querySelector('.drawer .actions')).display") == "none"
    )
    assert page.run("!document.getElementById('look-only').hidden")


def test_hostile_names_are_text_everywhere(page: Page, balancer: Balancer) -> None:
    ask(balancer, "/%3Cimg%20src=x%20onerror=alert(1)%3E/<b>bold</b>")
    sign_in(page, balancer, TOKEN)
    page.run(f"{row('engine')}.click()")
    page.wait_for(f"{SEEN}.includes('<img src=x')", "the model's name is text")
    page.press("Escape")
    page.press("3")
    page.wait_for("document.querySelectorAll('main tbody tr').length === 1", "the decision")
    page.run("document.querySelector('main tbody tr').click()")
    page.wait_for(f"{SEEN}.includes('<b>bold</b>')", "the path is text")
    assert page.run("document.querySelectorAll('main img, aside img, main b img').length") == 0
    assert "Penstock" in page.run("document.title")
    shown = page.run(
        """import("./dashboard/text.js").then(({visible, el}) =>
             [visible("a\\u001b[2J\\u202e\\u0000"), el("p", {}, "<i>\\u0007").outerHTML])"""
    )
    assert shown == ["a\\u{1b}[2J\\u{202e}\\u{0}", "<p>&lt;i&gt;\\u{7}</p>"]


def test_tenants_and_limits_are_shown_and_what_clients_send_there_is_text(
    page: Page, tmp_path: Path
) -> None:
    key = "k" * 40
    with HttpEndpoint() as endpoint:
        document = {
            "admin": {"address": "127.0.0.1:0"},
            "workers": 1,
            "tenants": {
                "acme": {"keys": {"ci": {"key": key}}, "limits": {"requests": 2, "per": "hour"}}
            },
            "pools": {
                "main": {
                    "endpoints": [endpoint.name],
                    "limits": [{"requests": 9, "per": "hour", "by": "header:x-who"}],
                }
            },
            "routes": [{"pool": "main"}],
        }
        with Balancer(tmp_path, document) as balancer:
            balancer.wait_until_ready()
            for _ in range(4):
                with balancer.connect() as client:
                    client.get("/", f"X-API-Key: {key}", f"X-Who: {HOSTILE}")
            page.visit(balancer.admin_url)
            page.wait_for(f"{ROWS}.length === 1", "the endpoint is shown")
            page.press("6")
            page.wait_for(f"{ROWS}.length === 3", "a tenant and two limits")
            page.wait_for(
                f"{row('acme')}.innerText.includes('100%')", "who is at its limit stands out"
            )
            page.wait_for(f"{SEEN}.includes('<img src=x')", "what a client sent is text")
            assert page.run("document.querySelectorAll('main img').length") == 0
            for scheme in ("light", "dark"):
                page.look_like(1440, 900, scheme=scheme)
                assert contrasts(page) == []
                page.screenshot(SHOTS / f"{scheme}-tenants.png")
            page.look_like(390, 844, scheme="light", phone=True)
            page.run("new Promise(requestAnimationFrame)")
            page.screenshot(SHOTS / "phone-tenants.png")


def test_it_is_legible_light_dark_on_a_phone_and_in_chinese(page: Page, balancer: Balancer) -> None:
    for number in range(20):
        ask(balancer, f"/{number}")
    sign_in(page, balancer, TOKEN)
    for scheme in ("light", "dark"):
        page.look_like(1440, 900, scheme=scheme)
        page.wait_for("document.querySelectorAll('.uplot').length >= 2", "charts are drawn")
        page.screenshot(SHOTS / f"{scheme}.png")
        assert contrasts(page) == []
        page.run(f"{row('web-0')}.click()")
        assert contrasts(page) == []
        page.screenshot(SHOTS / f"{scheme}-endpoint.png")
        page.press("Escape")
    page.look_like(390, 844, scheme="light", phone=True)
    page.run("new Promise(requestAnimationFrame)")
    page.screenshot(SHOTS / "phone.png")
    assert page.run("document.documentElement.scrollWidth <= 390"), "nothing sticks out"
    page.look_like(1440, 900, scheme="light")
    page.run("document.getElementById('language').click()")
    page.wait_for(f"{SEEN}.includes('端点')", "it speaks Chinese")
    assert page.run("document.documentElement.lang") == "zh-CN"
    page.screenshot(SHOTS / "zh.png")


def test_a_thousand_endpoints_are_sorted_searched_and_moved_through(
    page: Page, tmp_path: Path
) -> None:
    endpoints = [
        {"url": f"http://127.{n // 250}.{n % 250}.1:9", "name": f"e{n:04}"} for n in range(MANY)
    ]
    document = {"workers": 1, "endpoints": endpoints}
    with Balancer(tmp_path, document) as balancer:
        balancer.wait_until_ready()
        page.visit(balancer.admin_url)
        page.wait_for(f"{ROWS}.length > 5", "endpoints are shown")
        assert page.run("document.querySelectorAll('.grid .row').length") < 60, (
            "only those in sight"
        )
        page.run("document.querySelector('[data-id=name] button').click()")
        page.run("document.querySelector('[data-id=name] button').click()")
        page.run("document.querySelector('.grid').focus()")
        page.press("ArrowDown")
        page.press("Enter")
        page.wait_for(
            "document.querySelector('.drawer h2')?.innerText === 'main/e0999'", "the last"
        )
        page.press("Escape")
        page.press("/")
        page.run("document.querySelector('#search').value = 'e0123'")
        page.run("document.querySelector('#search').dispatchEvent(new Event('input'))")
        assert page.run(f"{ROWS}.length") == 1
        assert "e0123" in page.run(f"{ROWS}[0].innerText")
