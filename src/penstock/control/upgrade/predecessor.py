"""The side of the new one: it is given what the running supervisor has, and says when it serves."""

import asyncio
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Final

from penstock import __version__
from penstock.control.upgrade.channel import Channel, ChannelClosedError, connect_to
from penstock.control.upgrade.messages import (
    PROTOCOL,
    Failed,
    Hello,
    Offer,
    Ready,
    Refusal,
    Taken,
    Yours,
)
from penstock.control.workers.sockets import Handed, ListenKey
from penstock.dataplane.board.layout import SECTIONS

VARIABLE: Final = "PENSTOCK_SUCCEEDS"  # the socket of the supervisor that started this one
_ANSWER_S: Final = 30.0


class HandoverError(Exception):
    """The running balancer hands nothing over. The text is for people."""


class Predecessor:
    """The supervisor that runs, and what it offered."""

    def __init__(self, channel: Channel, offer: Offer, descriptors: list[int]) -> None:
        self.offer = offer
        self.handed: dict[ListenKey, Handed] = {}
        self.died = False  # before it gave up what it had
        self._channel = channel
        left = list(descriptors)
        for each in offer.listeners:
            sockets = [_socket(left.pop(0)) for _ in range(each.sockets)]
            self.handed[each.key] = Handed(sockets, each.file, each.foreign)
        self.admin_socket = _socket(left.pop(0)) if offer.admin is not None else None
        self.board = left.pop(0) if offer.board is not None else -1
        for descriptor in left:  # of a newer version, which knows of more
            os.close(descriptor)

    @property
    def first_index(self) -> int:
        """Of our workers, on its board or one of our own."""
        return self.offer.board.indexes[0] if self.offer.board is not None else 0

    def has_admin(self, host: str | None, port: int) -> bool:
        """Whether the admin socket is of that address, as configured."""
        return self.offer.admin is not None and tuple(self.offer.admin) == (host, port)

    async def tell_ready(self) -> Yours | None:
        """Our workers serve. What it gives up with; None where it died, and all is ours.

        Raises HandoverError where it goes on itself.
        """
        try:
            await asyncio.to_thread(self._channel.send, Ready(os.getpid()))
            message, _ = await asyncio.to_thread(self._channel.receive, _ANSWER_S)
        except ChannelClosedError:
            self.died = True
            return None
        except (TimeoutError, ValueError) as error:
            raise HandoverError(f"the running balancer does not answer: {error}") from error
        if isinstance(message, Yours):
            return message
        raise HandoverError(message.reason if isinstance(message, Refusal) else str(message))

    async def tell_taken(self) -> None:
        """All is ours: it may go."""
        with suppress(ChannelClosedError, TimeoutError):
            await asyncio.to_thread(self._channel.send, Taken())

    def tell_failed(self, reason: str) -> None:
        """We cannot serve: it goes on."""
        with suppress(ChannelClosedError, TimeoutError):
            self._channel.send(Failed(reason))

    def close(self) -> None:
        """Nothing more is said."""
        self._channel.close()


def meet(path: str, workers: int, source: str) -> Predecessor:
    """The supervisor that started this one. Raises HandoverError."""
    hello = Hello(PROTOCOL, __version__, dict(SECTIONS), workers, source)
    try:
        channel = connect_to(Path(path), _ANSWER_S)
    except OSError as error:
        raise HandoverError(f"{path} cannot be connected to: {error.strerror or error}") from error
    try:
        channel.send(hello)
        message, descriptors = channel.receive()
    except (ChannelClosedError, TimeoutError, ValueError) as error:
        channel.close()
        raise HandoverError(f"the running balancer does not answer: {error}") from error
    if isinstance(message, Offer):
        return Predecessor(channel, message, descriptors)
    channel.close()
    raise HandoverError(message.reason if isinstance(message, Refusal) else str(message))


def tell_failure(reason: str) -> None:
    """This process was started to succeed another, and cannot even begin to."""
    path = os.environ.get(VARIABLE)
    if path:
        with suppress(OSError, ChannelClosedError, TimeoutError):
            channel = connect_to(Path(path), _ANSWER_S)
            channel.send(Failed(reason))
            channel.close()


def _socket(descriptor: int) -> socket.socket:
    sock = socket.socket(fileno=descriptor)
    sock.setblocking(False)
    return sock
