"""The side of the one that runs: it starts another installation and hands over what it has.

Whatever goes wrong on the way, it goes on as before and says why.
"""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from penstock.control.events import Events
from penstock.control.service_manager import OF_ONE_PROCESS
from penstock.control.upgrade.borrowing import Borrowers
from penstock.control.upgrade.channel import Channel, ChannelClosedError, check_peer, listen_at
from penstock.control.upgrade.messages import (
    PROTOCOL,
    Borrow,
    Failed,
    Hello,
    Offer,
    Ready,
    Refusal,
    Taken,
    Told,
    Upgrade,
    Yours,
)
from penstock.control.upgrade.predecessor import VARIABLE
from penstock.control.workers.takeover import Process, identify

# An interpreter's own start, the configuration, and the first snapshot of every worker.
READY_S: Final = 120.0
_FIRST_WORD_S: Final = 10.0
_LAST_WORDS_S: Final = 1.0
_FIRST_PROCESS: Final = 1
_POLL_S: Final = 0.05
_TAKEN_S: Final = 30.0
_END_S: Final = 10.0  # for one that failed, before force is used
_Result = TypeVar("_Result")


class Handing(Protocol):
    """The supervisor, as far as an upgrade is concerned."""

    def frozen(self) -> AbstractAsyncContextManager[None]:
        """As long as this lasts, what is handed over stays as it is."""

    async def offer(self, hello: Hello) -> tuple[Offer, list[int]]:
        """What a successor is given, and the descriptors; these stay ours. Raises UpgradeError."""

    async def give_up(self) -> Yours:
        """Change nothing from here on; how things are now."""

    async def resume(self) -> None:
        """The other end of ``give_up``: nobody took over."""

    def forget(self, successor: Process) -> None:
        """It is dead: end its workers."""

    def borrowers(self) -> Borrowers:
        """Workers of versions before, which borrow of our limits until they have finished."""

    def leave(self, successor: int) -> None:
        """It serves: have our workers finish, and end."""


class UpgradeError(Exception):
    """An upgrade failed; the text, for people, says why."""


class Handover:
    """Takes requests for upgrades at the socket in the runtime directory, and carries them out."""

    def __init__(
        self, supervisor: Handing, path: Path | None, arguments: Sequence[str], events: Events
    ) -> None:
        """``arguments`` are those that an installation's command is started with."""
        self._supervisor = supervisor
        self._path = path
        self._arguments = tuple(arguments)
        self._events = events
        self._tasks: set[asyncio.Task[None]] = set()
        self._sock: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._under_way = False
        self._left = False  # a successor serves
        self._met: asyncio.Future[tuple[Channel, Hello, Process]] | None = None

    @property
    def under_way(self) -> bool:
        """Whether a successor is being started."""
        return self._under_way

    def listen(self) -> None:
        """Begin. Where that cannot be, upgrades cannot either, and the log says so."""
        if self._path is None:
            return
        try:
            self._sock = listen_at(self._path)
        except OSError as error:
            text = f"upgrades are not possible: {self._path}: {error.strerror or error}"
            self._events.warning("upgrade.impossible", text)
            return
        self._accepting = self._begin(self._accept(self._sock))

    async def stop(self) -> None:
        """End a successor that is being started, and take no more requests."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._close()

    def _close(self) -> None:
        if self._accepting is not None:
            self._accepting.cancel()
        if self._sock is not None and self._path is not None:
            self._sock.close()
            self._path.unlink(missing_ok=True)
            self._sock = None

    def begin(self) -> None:
        """As SIGUSR2 does: by the same installation, which may have been replaced in its place."""
        self._begin(self._upgrade_by_itself())

    async def _upgrade_by_itself(self) -> None:
        await self._upgrade(())

    # --- requests ---------------------------------------------------------------------------

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._events.bug("an upgrade", error)

    async def _accept(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            connection, _ = await loop.sock_accept(sock)
            self._begin(self._hear(connection))

    async def _hear(self, connection: socket.socket) -> None:
        try:
            peer = identify(check_peer(connection))
        except OSError as error:
            self._events.warning("upgrade.stranger", f"an upgrade was refused: {error}")
            connection.close()
            return
        channel = Channel(connection, _FIRST_WORD_S)
        try:
            message, _ = await asyncio.to_thread(channel.receive)
        except (ChannelClosedError, TimeoutError, ValueError):
            channel.close()
            return
        if isinstance(message, Upgrade):
            await self._upgrade_for(channel, message.command)
        elif isinstance(message, Hello) and self._met is not None and not self._met.done():
            self._met.set_result((channel, message, peer))
        elif isinstance(message, Borrow):
            await self._supervisor.borrowers().serve(channel, message, peer.pid)
        elif isinstance(message, Failed) and self._met is not None and not self._met.done():
            self._met.set_exception(UpgradeError(message.reason))
            channel.close()
        else:
            with suppress(ChannelClosedError, TimeoutError):
                await asyncio.to_thread(channel.send, Refusal("no upgrade is under way"))
            channel.close()

    async def _upgrade_for(self, channel: Channel, command: list[str]) -> None:
        """Tell who asked how it went. Whether it still listens does not matter."""
        told = Told("the running balancer was told to stop", ok=False)
        try:
            told = await self._upgrade(command)
        finally:
            with suppress(ChannelClosedError, TimeoutError):
                channel.send(told)
            channel.close()

    # --- the upgrade itself -----------------------------------------------------------------

    async def _upgrade(self, command: Sequence[str]) -> Told:
        if self._under_way or self._left:
            return Told("an upgrade is under way already", ok=False)
        self._under_way = True
        try:
            return Told(await self._try(command or own_command()))
        except UpgradeError as error:
            text = f"the upgrade failed, and this version goes on: {error}"
            self._events.error("upgrade.failed", text)
            return Told(text, ok=False)
        finally:
            self._under_way = False

    async def _try(self, command: Sequence[str]) -> str:
        """Hand over; what is to be told. Raises UpgradeError, and then all is as before."""
        if self._sock is None:
            raise UpgradeError("there is no runtime directory to do it in; the log says why")
        if os.getpid() == _FIRST_PROCESS:
            raise UpgradeError(
                "this is the first process of its container, which would end with it: start "
                "another container beside it instead"
            )
        shown = " ".join([*command, *self._arguments])
        self._events.info("upgrade", f"upgrading: starting {shown}")
        self._met = asyncio.get_running_loop().create_future()
        try:
            process = _started([*command, *self._arguments], str(self._path))
        except OSError as error:
            raise UpgradeError(f"{command[0]}: {error.strerror or error}") from error
        ending = asyncio.ensure_future(_ended(process))
        try:
            channel, hello, peer = await _or_end(self._met, ending, _FIRST_WORD_S + READY_S)
            try:
                await self._give(channel, hello, peer, ending)
            except BaseException:
                await asyncio.shield(_end(process, ending))
                self._supervisor.forget(peer)
                raise
            finally:
                channel.close()
        finally:
            if not ending.done() and not self._left:
                await asyncio.shield(_end(process, ending))
            self._met = None
        return f"penstock {hello.version} (pid {peer.pid}) serves"

    async def _give(
        self, channel: Channel, hello: Hello, peer: Process, ending: "asyncio.Future[int]"
    ) -> None:
        if hello.protocol != PROTOCOL:
            reason = (
                f"penstock {hello.version} speaks protocol {hello.protocol} of upgrades, this "
                f"one {PROTOCOL}: restart instead"
            )
            await _say(channel, Refusal(reason))
            raise UpgradeError(reason)
        async with self._supervisor.frozen():
            try:
                offer, descriptors = await self._supervisor.offer(hello)
                await asyncio.to_thread(channel.send, offer, descriptors)
                await self._await_ready(channel, ending)
                yours = await self._supervisor.give_up()
            except asyncio.CancelledError:
                await _say(channel, Refusal("the running balancer was told to stop"))
                raise
            try:
                await asyncio.to_thread(channel.send, yours)
                message = await _heard(channel, ending, _TAKEN_S)
                if not isinstance(message, Taken):
                    raise UpgradeError(f"the new version answered {message}")
            except BaseException as error:
                await asyncio.shield(self._supervisor.resume())
                if isinstance(error, (ChannelClosedError, TimeoutError)):
                    raise UpgradeError(f"the new version did not take over: {error}") from error
                raise
            self._left = True
            self._events.info(
                "upgraded",
                f"penstock {hello.version} (pid {peer.pid}) took over",
                version=hello.version,
                by=peer.pid,
            )
            self._close()
            self._supervisor.leave(peer.pid)

    async def _await_ready(self, channel: Channel, ending: "asyncio.Future[int]") -> None:
        try:
            message = await _heard(channel, ending, READY_S)
        except (ChannelClosedError, ValueError) as error:
            raise UpgradeError(f"the new version ended while it started: {error}") from error
        except TimeoutError as error:
            raise UpgradeError(f"the new version was not ready in {READY_S:g} s") from error
        if isinstance(message, Failed):
            raise UpgradeError(message.reason)
        if not isinstance(message, Ready):
            raise UpgradeError(f"the new version answered {message}")


def own_command() -> tuple[str, ...]:
    """The command of the installation that runs this."""
    return (sys.executable, "-P", "-m", "penstock")


async def _say(channel: Channel, message: Refusal) -> None:
    with suppress(ChannelClosedError, TimeoutError):
        channel.send(message)


async def _heard(channel: Channel, ending: "asyncio.Future[int]", timeout_s: float) -> object:
    receiving = asyncio.ensure_future(asyncio.to_thread(channel.receive, timeout_s))
    try:
        message, _ = await _or_end(receiving, ending, timeout_s + 1.0)
    except BaseException:
        channel.close()  # ends the thread
        with suppress(BaseException):
            await receiving
        raise
    return message


async def _or_end(
    wanted: asyncio.Future[_Result], ending: "asyncio.Future[int]", timeout_s: float
) -> _Result:
    """What comes of ``wanted``. Raises UpgradeError where the process ends before."""
    both: set[asyncio.Future[Any]] = {wanted, ending}
    await asyncio.wait(both, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    if not wanted.done() and ending.done():  # its last words may be on their way
        await asyncio.wait({wanted}, timeout=_LAST_WORDS_S)
    if wanted.done():
        return wanted.result()
    if ending.done():
        raise UpgradeError(
            f"the new version ended with code {ending.result()} before it served; the log has "
            "what it said"
        )
    raise UpgradeError(f"the new version said nothing in {timeout_s:g} s")


def _started(command: list[str], path: str) -> subprocess.Popen[bytes]:
    """Not by asyncio, which would end it together with our own loop. Raises OSError."""
    environment = {**os.environ, VARIABLE: path}
    for name in OF_ONE_PROCESS:
        environment.pop(name, None)
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, env=environment)  # noqa: S603


async def _ended(process: subprocess.Popen[bytes]) -> int:
    while process.poll() is None:  # noqa: ASYNC110 - a thread that waits would hold up our own end
        await asyncio.sleep(_POLL_S)
    return process.returncode


async def _end(process: subprocess.Popen[bytes], ending: "asyncio.Future[int]") -> None:
    if ending.done():
        return
    with suppress(ProcessLookupError):
        process.terminate()
    await asyncio.wait({ending}, timeout=_END_S)
    if not ending.done():
        with suppress(ProcessLookupError):
            process.kill()
        await ending
