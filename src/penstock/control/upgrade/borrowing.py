"""Limits over an upgrade: one ledger. Workers that finish borrow of the successor's.

Their supervisor hands over what is spent and held, lends nothing of its own from then on, and
passes on what they ask for and give back. A successor that cannot be asked (a version that knows
nothing of this, or one that died) is not waited for: then they are lent what their own supervisor
last knew.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from penstock.control.upgrade.channel import Channel, ChannelClosedError, connect_to
from penstock.control.upgrade.messages import Borrow, Lent

_CONNECT_S: Final = 15.0  # by then a successor that took over listens
_AGAIN_S: Final = 0.05
_ANSWER_S: Final = 5.0
_LAST_S: Final = 2.0
_SILENT_S: Final = 3600.0  # a predecessor may have nothing to ask for
_Asked = Sequence[Sequence[object]]
_Told = list[list[object]]


class Borrowing:
    """The side of the one that leaves. ``own`` lends where the successor does not answer."""

    def __init__(self, path: Path | None, pid: int, own: Callable[[int, _Asked], _Told]) -> None:
        """``path`` is the successor's socket, ``pid`` who asks."""
        self._path = path
        self._pid = pid
        self._own = own
        self._channel: Channel | None = None
        self._one_at_a_time = asyncio.Lock()
        self._lost = path is None
        self._began = asyncio.get_running_loop().time()
        self._under_way = 0

    async def lend(self, worker: int, asked: _Asked) -> _Told:
        """As the successor answers."""
        self._under_way += 1
        try:
            async with self._one_at_a_time:
                if not self._lost:
                    try:
                        return await self._ask(Borrow(self._pid, worker, [*map(list, asked)]))
                    except (ChannelClosedError, TimeoutError, ValueError, OSError):
                        self._lost = True
            return self._own(worker, asked)
        finally:
            self._under_way -= 1

    async def finish(self) -> None:
        """The last worker ended: what it gave back is told first."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_S):
                while self._under_way:  # noqa: ASYNC110 - a moment, once
                    await asyncio.sleep(_AGAIN_S)
        if self._channel is not None:
            self._channel.close()

    async def _ask(self, message: Borrow) -> _Told:
        channel = self._channel or await self._connect()
        await asyncio.to_thread(channel.send, message)
        answer, _ = await asyncio.to_thread(channel.receive)
        if not isinstance(answer, Lent):
            raise ValueError(f"the new version answered {answer}")
        return answer.told

    async def _connect(self) -> Channel:
        assert self._path is not None
        loop = asyncio.get_running_loop()
        while True:
            try:
                self._channel = await asyncio.to_thread(connect_to, self._path, _ANSWER_S)
            except OSError:
                if loop.time() - self._began > _CONNECT_S:
                    raise
                await asyncio.sleep(_AGAIN_S)
            else:
                return self._channel


class Borrowers:
    """The side of the one that serves: workers of versions before, as borrowers of their own."""

    def __init__(
        self,
        lend: "Callable[[int, _Asked], Any]",
        forget: Callable[[int], None],
    ) -> None:
        """``lend`` is awaited; both as for own workers, whose numbers are 0 and greater."""
        self._lend = lend
        self._forget = forget
        self._numbers: dict[tuple[int, int], int] = {}
        self._given = 0

    def number(self, pid: int, worker: int) -> int:
        """By which the owner of limits knows that worker of that supervisor: below 0."""
        found = self._numbers.get((pid, worker))
        if found is None:
            self._given += 1
            found = self._numbers[pid, worker] = -self._given
        return found

    def forget(self, pid: int) -> None:
        """Its workers have all ended: places that they held are free."""
        for key in [key for key in self._numbers if key[0] == pid]:
            self._forget(self._numbers.pop(key))

    def forget_ended(self) -> None:
        """Those whose supervisor is there no more, and said nothing at its end."""
        for pid in {pid for pid, _ in self._numbers}:
            if not Path(f"/proc/{pid}").exists():
                self.forget(pid)

    async def serve(self, channel: Channel, first: Borrow, pid: int) -> None:
        """Answer until the channel is closed. ``pid``: who is at the other end."""
        loop = asyncio.get_running_loop()
        message: object = first
        with ThreadPoolExecutor(1, "borrowing") as thread:
            try:
                while isinstance(message, Borrow):
                    told = await self._lend(self.number(pid, message.worker), message.asked)
                    await loop.run_in_executor(thread, channel.send, Lent(told))
                    message, _ = await loop.run_in_executor(thread, channel.receive, _SILENT_S)
            except (ChannelClosedError, TimeoutError, ValueError):
                pass
            finally:
                channel.close()  # whoever waits there waits no more
                self.forget(pid)
