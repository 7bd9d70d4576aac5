"""Resolves endpoints' names to addresses: one interface for all resolvers."""

import asyncio
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Final, Protocol

from penstock.control.threads import in_thread

# A look-up that hangs keeps its thread: a bound on those.
_AT_ONCE: Final = 32


class NoAddressError(Exception):
    """A name has no address, or it cannot be looked up. The text is for people."""


@dataclass(frozen=True)
class Answer:
    """Addresses in the order to try them; ``ttl_s`` is how long they are valid, if known."""

    addresses: tuple[str, ...]
    ttl_s: float | None = None


class Resolver(Protocol):
    """Looks names up. An answer may take long and must not delay others."""

    async def look_up(self, host: str) -> Answer:
        """At least one address. Raises NoAddressError."""


class SystemResolver:
    """The system's: files, DNS and whatever else it is told to ask (nsswitch.conf(5))."""

    def __init__(self) -> None:
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def look_up(self, host: str) -> Answer:
        """As the system prefers them (RFC 6724), families interleaved."""
        async with self._room:
            try:
                found = await in_thread(
                    lambda: socket.getaddrinfo(host, None, type=socket.SOCK_STREAM), "look-up"
                )
            except (OSError, UnicodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else None
                raise NoAddressError(f"{host} has no address: {reason or error}") from error
        return Answer(interleaved(str(each[4][0]) for each in found))


def interleaved(addresses: Iterable[str]) -> tuple[str, ...]:
    """IPv6 and IPv4 by turns, beginning with the family of the first (RFC 8305, 4)."""
    known = list(dict.fromkeys(addresses))
    first = [each for each in known if (":" in each) == (":" in known[0])]
    second = [each for each in known if each not in first]
    return tuple(each for each in chain.from_iterable(zip_longest(first, second)) if each)
