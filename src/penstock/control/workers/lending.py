"""What workers are lent of what limits allow, by whoever owns these at present."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from penstock.control.workers.process import Told

_Asked = Sequence[Sequence[object]]
_Lent = list[list[object]]


class Lending:
    """To the workers of one supervisor."""

    def __init__(self) -> None:
        # The owner of limits may have to get some first, lends, and where another supervisor owns
        # them, as a successor does once it serves, that one does.
        self.before: Callable[[_Asked], Awaitable[None] | None] = _at_once
        self.owner: Callable[[int, _Asked], _Lent] = _lend_none
        self.elsewhere: Callable[[int, _Asked], Awaitable[_Lent]] | None = None
        self._held: asyncio.Event | None = None

    def answer(self, index: int, asked: _Asked) -> Told:
        """To a worker's question, at once where nothing is to be waited for."""
        if self._held is not None or self.elsewhere is not None:
            return self._answer_later(index, asked)
        waiting = self.before(asked)
        if waiting is not None:
            return self._answer_later(index, asked, waiting)
        return {"kind": "lent", "lent": self.owner(index, asked)}

    async def _answer_later(
        self, index: int, asked: _Asked, waiting: Awaitable[None] | None = None
    ) -> dict[str, object]:
        return {"kind": "lent", "lent": await self.lend(index, asked, waiting)}

    async def lend(
        self, index: int, asked: _Asked, waiting: Awaitable[None] | None = None
    ) -> _Lent:
        """Have a worker be lent what it asks for. ``waiting``: what is to be waited for, where that
        is known."""
        if waiting is None:
            if self._held is not None:
                await self._held.wait()
            if self.elsewhere is not None:
                return await self.elsewhere(index, asked)
            waiting = self.before(asked)
        if waiting is not None:
            await waiting
        return self.owner(index, asked)

    def hold(self) -> None:
        """It is about to be decided who owns limits: nobody is lent anything until then."""
        self._held = asyncio.Event()

    def go_on(self) -> None:
        """It is decided."""
        held, self._held = self._held, None
        if held is not None:
            held.set()


def _at_once(asked: _Asked) -> None:
    """Nothing is to be waited for."""


def _lend_none(index: int, asked: _Asked) -> _Lent:
    """Nobody owns any limits."""
    return []
