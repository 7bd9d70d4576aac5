"""`penstock top`: what it shows, what its keys do, and what it never sends to a terminal."""

import io
import os
from collections.abc import AsyncIterator
from typing import Any

import click
import pytest
from click.testing import CliRunner
from rich.console import Console
from rich.text import Text

from penstock.admin.server import AdminServer
from penstock.admin.view import LimitStateView, StandingView, Tenancy, TenantView
from penstock.cli import top as top_verb
from penstock.cli._admin_client import Admin
from penstock.cli._top_commands import TopCommands
from penstock.cli._top_keys import keys_in
from penstock.cli._top_screen import line_of, once, screen
from penstock.cli._top_state import SORTS, VIEWS, TopState
from penstock.cli.main import penstock_command
from penstock.control.commands.drain import Drain
from penstock.dataplane.board.memory import create_board
from tests.unit.admin.balancer import PlainBalancer, endpoint, overview, pool

TOKEN = "a-secret-token-of-some-length"
READ_TOKEN = "a-token-for-those-who-look"
HOSTILE = "\x1b]0;owned\x07\x1b[2J\u202e[bold]x[/bold]"


@pytest.fixture
async def balancer() -> AsyncIterator[PlainBalancer]:
    board = create_board(2, endpoint_rows=8, pool_rows=4)
    made = PlainBalancer(board)
    gone = endpoint("e1", 1, state="down", reason=f"check: {HOSTILE}", available=False, zone="z1")
    made.shown = overview(pool("main", 0, endpoint("e0", 0), gone, endpoint("e2", 2)))
    yield made
    os.close(board.fd)


@pytest.fixture
async def admin(balancer: PlainBalancer) -> AsyncIterator[Admin]:
    server = AdminServer(balancer, balancer.commands, TOKEN, READ_TOKEN)
    host, port = await server.start("127.0.0.1", 0)
    yield Admin(f"http://{host}:{port}", TOKEN)
    await server.stop()


async def state_at(admin: Admin) -> TopState:
    """After the first two messages."""
    state = TopState()
    async for kind, message in top_verb.messages(admin):
        state.take(kind, message)
        if kind == "whole":
            break
    return state


def drawn(shown: Any) -> str:
    console = Console(file=io.StringIO(), width=160, height=30, highlight=False)
    console.print(shown)
    output = console.file
    assert isinstance(output, io.StringIO)
    return output.getvalue()


class Keyboard:
    """Presses keys, and remembers which commands were given."""

    def __init__(self, state: TopState) -> None:
        self.given: list[tuple[str, dict[str, Any]]] = []
        self.refusal = ""
        self.commands = TopCommands(state, self._give, self._look)

    async def _give(self, command: str, values: dict[str, Any]) -> object:
        if self.refusal:
            raise click.ClickException(self.refusal)
        self.given.append((command, values))
        return {}

    async def _look(self) -> None:
        pass

    async def press(self, *keys: str) -> str:
        for key in keys:
            await self.commands.press(key)
        return self.commands.foot().plain


class TestScreen:
    async def test_endpoints_stand_in_a_table_the_worst_first(self, admin: Admin) -> None:
        state = await state_at(admin)
        lines = drawn(once(state)).splitlines()
        assert "2/3 endpoints available" in lines[1]
        assert [line.split()[:3] for line in lines[3:]] == [
            ["✕", "down", "main/e1"],
            ["●", "up", "main/e0"],
            ["●", "up", "main/e2"],
        ]

    async def test_control_characters_are_shown_and_not_sent(self, admin: Admin) -> None:
        state = await state_at(admin)
        state.choose(0)
        for view in VIEWS:
            state.view = view
            for state.detail in (False, True):
                text = drawn(screen(state, 30, Text("foot")))
                assert all(each.isprintable() or each == "\n" for each in text)
        state.view, state.detail = "endpoints", True
        state.choose(0)
        assert r"\x1b]0;owned\x07\x1b[2J\u202e[bold]x[/bold]" in drawn(screen(state, 30, Text()))

    async def test_who_is_near_a_limit_stands_first_and_what_clients_sent_is_made_visible(
        self, admin: Admin, balancer: PlainBalancer
    ) -> None:
        balancer.tenants = Tenancy(
            (
                TenantView("calm", 1, 90, 0, 0, 0, 0.0, 0, 0.1, "tenant calm limit"),
                TenantView("near", 1, 2, 5000, 0, 70, 0.25, 3, 0.97, "tenant near limit"),
            ),
            (
                LimitStateView("calm", "requests", "minute", False, (), 10.0, 0, 0, ()),
                LimitStateView(
                    "full",
                    "tokens",
                    "day",
                    True,
                    ("user",),
                    100.0,
                    3,
                    0,
                    (StandingView(HOSTILE, 99.0, 60.0),),
                ),
            ),
        )
        state = await state_at(admin)
        state.view = "tenants"
        near, calm = drawn(screen(state, 30, Text())).splitlines()[4:6]
        assert ("near" in near, "97%" in near, "5000" in near) == (True, True, True)
        assert "calm" in calm
        state.view = "limits"
        full, _ = drawn(screen(state, 30, Text())).splitlines()[4:6]
        assert r"\x1b]0;owned" in full
        assert "99%" in full
        state.filter = "calm"
        assert state.rows() == 1

    async def test_a_difference_changes_what_is_shown(self, admin: Admin) -> None:
        state = await state_at(admin)
        fields = {"0": {"state": "draining", "in_flight": 7}}
        change = {"at": 1.0, "endpoints": fields, "gone": {"endpoints": ["2"]}}
        state.take("changes", change)
        assert {each["name"]: each["state"] for each in state.endpoints.values()} == {
            "e0": "draining",
            "e1": "down",
        }
        assert state.endpoints["0"]["weight"] == 1.0, "what is not told stays"

    async def test_a_chosen_endpoint_stays_chosen_when_rows_move(self, admin: Admin) -> None:
        state = await state_at(admin)
        state.choose(2)
        assert state.endpoint() is state.endpoints["2"]
        state.take("changes", {"at": 1.0, "endpoints": {"2": {"state": "ejected"}}})
        state.settle()
        assert (state.chosen, state.endpoint()) == (1, state.endpoints["2"])

    def test_a_line_is_as_high_as_its_values(self) -> None:
        assert line_of([0.0, 5.0, 10.0]) == "▁▅█"
        assert line_of([]) == line_of([0.0]) == ""


class TestKeys:
    async def test_a_drain_is_asked_before_and_undone_after(self, admin: Admin) -> None:
        state = await state_at(admin)
        state.choose(1)
        keyboard = Keyboard(state)
        told = await keyboard.press("d")
        assert told.startswith("drain main/e0? 0 in flight finish; 1 others take its")
        assert keyboard.given == []
        await keyboard.press("n")
        assert keyboard.given == [], "no means no"
        named = {"pool": "main", "endpoint": "e0"}
        await keyboard.press("F10", "y")
        await keyboard.press("z", "z")
        assert keyboard.given == [("drain", named), ("undrain", named)]

    async def test_the_last_endpoint_is_not_drained_unwarned(self, admin: Admin) -> None:
        state = await state_at(admin)
        state.endpoints["2"]["available"] = False
        state.choose(1)
        assert "clients will get 503" in await Keyboard(state).press("d")

    async def test_weights_go_as_in_hatop_and_as_typed(self, admin: Admin) -> None:
        state = await state_at(admin)
        state.choose(1)
        keyboard = Keyboard(state)
        await keyboard.press("F5", "y", "F8", "y", "w", *"2.5", "enter", "y", "z")
        assert [values["weight"] for _, values in keyboard.given] == [0.9, 1.1, 2.5, 1.0]
        for text in ("nan", "-1", "x", "inf", ""):
            assert "a weight is a number" in await keyboard.press("w", *text, "enter")

    async def test_what_is_refused_is_told_and_not_undone(self, admin: Admin) -> None:
        state = await state_at(admin)
        state.choose(1)
        keyboard = Keyboard(state)
        keyboard.refusal = "pool 'main' has no endpoint called 'e0'"
        assert "no endpoint called 'e0'" in await keyboard.press("d", "y")
        keyboard.refusal = ""
        await keyboard.press("z")
        assert keyboard.given == []

    async def test_the_read_token_changes_nothing(self, admin: Admin) -> None:
        state = await state_at(Admin(admin.url, READ_TOKEN))
        state.choose(1)
        keyboard = Keyboard(state)
        for key in ("d", "u", "w", "F4", "F5", "F9"):
            assert "may look" in await keyboard.press(key, "y")
        assert keyboard.given == []

    async def test_a_filter_is_typed_and_taken_back(self, admin: Admin) -> None:
        state = await state_at(admin)
        keyboard = Keyboard(state)
        assert await keyboard.press("/", *"z1x", "backspace") == "filter: z1▏"
        await keyboard.press("enter")
        assert [each["name"] for each in state.shown_endpoints()] == ["e1"]
        await keyboard.press("escape")
        assert len(state.shown_endpoints()) == 3

    async def test_every_order_can_be_chosen_and_turned(self, admin: Admin) -> None:
        state = await state_at(admin)
        keyboard = Keyboard(state)
        seen = []
        for _ in SORTS:
            seen.append(state.sort)
            assert len(state.shown_endpoints()) == 3
            await keyboard.press("s")
        assert seen == [name for name, _ in SORTS]
        await keyboard.press("r")
        assert state.shown_endpoints()[-1]["name"] == "e1"

    def test_terminals_sequences_are_keys(self) -> None:
        sent = b"\x1b[A\x1b[6~\x1bOS\x1b[21~a\xc3\xa9\t\r\x7f"
        keys = ["up", "page down", "F4", "F10", "a", "é", "tab", "enter", "backspace"]
        assert list(keys_in(sent)) == keys
        assert list(keys_in(b"\x1b")) == ["escape"]
        assert list(keys_in(b"\x1b[99~")) == [], "one that is not known is none"


async def test_commands_reach_the_balancer(admin: Admin, balancer: PlainBalancer) -> None:
    await admin.ask("POST", "/api/v1/drain", {"pool": "main", "endpoint": "e0"})
    assert balancer.given == [Drain(pool="main", endpoint="e0")]


class TestVerb:
    def run(self, *arguments: str) -> Any:
        return CliRunner().invoke(penstock_command, ["top", *arguments], prog_name="penstock")

    def test_without_a_terminal_it_says_what_to_do(self) -> None:
        assert "--once" in self.run().output

    def test_without_a_balancer_it_says_where_it_looked(self) -> None:
        done = self.run("--once", "--admin", "127.0.0.1:1")
        assert done.exit_code == 1
        assert "nothing answers at http://127.0.0.1:1" in done.output
