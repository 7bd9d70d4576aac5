"""What keys do in `penstock top`: views, rows, and commands, which are asked before and undone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import click
from rich.text import Text

from penstock.cli._top_screen import KEYS
from penstock.cli._top_state import SORTS, VIEWS, Object, TopState, consequences
from penstock.control.endpoints.states import MAX_WEIGHT

# Gives a command with its fields to the balancer.
Give: TypeAlias = Callable[[str, Object], Awaitable[object]]
_MOVES: Final = {"up": -1, "down": 1, "page up": -10, "page down": 10, "home": -(10**9)}
_SHARES: Final = {"F5": -0.1, "F6": -0.01, "F7": 0.01, "F8": 0.1}  # of the configured weight
_READ_ONLY: Final = "the read token may look, and change nothing"


class TopCommands:
    """One person at one keyboard."""

    def __init__(self, state: TopState, give: Give, look: Callable[[], Awaitable[None]]) -> None:
        self.over = False
        self._state = state
        self._give = give
        self._look = look  # at the decisions
        self._said = Text(KEYS, style="dim")
        self._asked = ""  # what is typed: "filter" or "weight"
        self._typed = ""
        self._offered: Callable[[], Awaitable[None]] | None = None  # done when it is confirmed
        self._undo: Callable[[], Awaitable[None]] | None = None

    def foot(self) -> Text:
        """The line below: what is asked, or what was said last."""
        if self._asked:
            return Text(f"{self._asked}: {self._typed}▏", style="bold")
        return self._said

    async def press(self, key: str) -> None:
        """One key."""
        if self._asked:
            await self._type(key)
        elif self._offered is not None:
            offered, self._offered = self._offered, None
            self._say("not done", "dim")
            if key in ("y", "enter"):
                await offered()
        else:
            await self._run(key)

    async def _run(self, key: str) -> None:
        state = self._state
        if key in _MOVES or key == "end":
            state.choose(state.rows() if key == "end" else state.chosen + _MOVES[key])
        elif key.isdigit() and 1 <= int(key) <= len(VIEWS):
            await self._show(VIEWS[int(key) - 1])
        elif key in ("tab", "back tab"):
            step = 1 if key == "tab" else -1
            await self._show(VIEWS[(VIEWS.index(state.view) + step) % len(VIEWS)])
        elif key in _SHARES or key == "F4":
            self._nudge(key)
        else:
            await self._letter(key)

    async def _letter(self, key: str) -> None:
        state = self._state
        match key:
            case "q":
                self.over = True
            case "enter":
                state.detail = not state.detail
            case "escape":
                state.detail, state.filter = False, "" if not state.detail else state.filter
            case "/":
                self._asked, self._typed = "filter", state.filter
            case "s":
                names = [name for name, _ in SORTS]
                state.sort = names[(names.index(state.sort) + 1) % len(names)]
            case "r":
                state.reverse = not state.reverse
            case "R":
                await self._look()
            case "d" | "F10":
                self._drain()
            case "u" | "F9":
                self._undrain()
            case "w":
                if self._chosen() is not None:
                    self._asked, self._typed = "weight", ""
            case "z":
                if self._undo is not None:
                    undo, self._undo = self._undo, None
                    await undo()
            case "?" | "h":
                self._say(KEYS, "dim")

    async def _show(self, view: str) -> None:
        state = self._state
        state.view, state.detail, state.chosen = view, False, 0
        if view == "decisions":
            await self._look()

    async def _type(self, key: str) -> None:
        if key == "backspace":
            self._typed = self._typed[:-1]
        elif key in ("enter", "escape"):
            asked, self._asked = self._asked, ""
            if asked == "weight" and key == "enter":
                self._weigh(self._typed)
            elif asked == "filter" and key == "escape":
                self._state.filter = ""
        elif len(key) == 1 and key.isprintable():
            self._typed += key
        if self._asked == "filter":
            self._state.filter = self._typed

    def _chosen(self) -> Object | None:
        endpoint = self._state.endpoint()
        if endpoint is not None and not self._state.may_change:
            self._say(_READ_ONLY, "yellow")
            return None
        return endpoint

    def _drain(self) -> None:
        endpoint = self._chosen()
        if endpoint is not None:
            told = f"drain {_named(endpoint)}? {consequences(self._state, endpoint)}"
            self._offer(told, endpoint, "drain", "undrain")

    def _undrain(self) -> None:
        endpoint = self._chosen()
        if endpoint is not None:
            told = f"send requests to {_named(endpoint)} again?"
            self._offer(told, endpoint, "undrain", "drain")

    def _nudge(self, key: str) -> None:
        endpoint = self._chosen()
        if endpoint is None:
            return
        configured = float(endpoint["configured_weight"])
        if key != "F4":
            step = (configured or 1.0) * _SHARES[key]
            configured = min(MAX_WEIGHT, max(0.0, endpoint["weight"] + step))
        self._weigh(f"{configured:.6g}")

    def _weigh(self, text: str) -> None:
        endpoint = self._chosen()
        if endpoint is None:
            return
        try:
            weight = float(text)
            if not 0.0 <= weight <= MAX_WEIGHT:
                raise ValueError
        except ValueError:
            self._say(f"a weight is a number from 0 to {MAX_WEIGHT:g}, not {text!r}", "yellow")
            return
        before = float(endpoint["weight"])
        told = f"weight of {_named(endpoint)}: {before:g} → {weight:g}?"
        values = ({"weight": weight}, {"weight": before})
        self._offer(told, endpoint, "weight", "weight", *values)

    def _offer(
        self,
        told: str,
        endpoint: Object,
        command: str,
        opposite: str,
        values: Object | None = None,
        values_before: Object | None = None,
    ) -> None:
        named = {"pool": endpoint["pool"], "endpoint": endpoint["name"]}

        async def undo() -> None:
            await self._tell(opposite, named | (values_before or {}), "undone")

        async def do() -> None:
            if await self._tell(command, named | (values or {}), f"{command}: done; z undoes it"):
                self._undo = undo

        self._offered = do
        self._say(f"{told}  [y/n]", "bold yellow")

    async def _tell(self, command: str, values: Object, done: str) -> bool:
        try:
            await self._give(command, values)
        except click.ClickException as error:
            self._say(f"not done: {error.message}", "bold red")
            return False
        self._say(done, "green")
        return True

    def _say(self, text: str, style: str) -> None:
        self._said = Text(text, style=style)


def _named(endpoint: Object) -> str:
    return f"{endpoint['pool']}/{endpoint['name']}"
