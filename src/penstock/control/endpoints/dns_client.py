"""Asks DNS servers: over UDP, and over TCP where an answer is truncated.

dnspython is imported with the first question: it is large, and most balancers look no name up.
"""

import asyncio
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from penstock.core.snapshot.address import shown_address

if TYPE_CHECKING:
    from dns.asyncresolver import Resolver
    from dns.resolver import NoNameservers

_RESOLV_CONF: Final = Path("/etc/resolv.conf")
_MOST_RECORDS: Final = 20_000


class DnsError(Exception):
    """No server gave a usable answer. The text is for people."""


class NoRecordsError(DnsError):
    """The name does not exist, or has no such records."""


@dataclass(frozen=True)
class Records:
    """``of`` has their values as dnspython reads them; ``ttl_s`` is how long they are valid."""

    of: tuple[Any, ...]
    ttl_s: float


class DnsClient:
    """Asks the servers given, or the system's, which may change."""

    def __init__(
        self,
        servers: Iterable[tuple[str, int]] = (),
        timeout_s: float = 5.0,
        configuration: Path = _RESOLV_CONF,
    ) -> None:
        self._servers = tuple(servers)
        self._timeout_s = timeout_s
        self._configuration = configuration
        self._resolver: Resolver | None = None
        self._read_at: object = None  # of which state of the file the resolver was made

    async def ask(self, name: str, record: str) -> Records:
        """The records of that type, aliases followed. Raises DnsError."""
        import dns.exception
        import dns.resolver

        try:
            answer = await self._current().resolve(
                name, record, search=not self._servers, lifetime=self._timeout_s
            )
        except dns.resolver.NXDOMAIN as error:
            raise NoRecordsError(f"{name} does not exist in DNS") from error
        except dns.resolver.NoAnswer as error:
            raise NoRecordsError(f"{name} has no {record} records") from error
        except (dns.exception.Timeout, TimeoutError) as error:
            raise DnsError(f"no DNS server answered within {self._timeout_s:g} s") from error
        except dns.resolver.NoNameservers as error:
            raise DnsError(f"no DNS server gives an answer for {name}: {_reason(error)}") from error
        except (dns.exception.DNSException, OSError, ValueError) as error:
            raise DnsError(f"{name} cannot be looked up: {error}") from error
        records = tuple(answer.rrset or ())
        if len(records) > _MOST_RECORDS:
            raise DnsError(f"{name} has {len(records)} {record} records")
        return Records(records, float(answer.chaining_result.minimum_ttl))

    def _current(self) -> "Resolver":
        """Raises DnsError where the system names no server."""
        import dns.asyncresolver
        import dns.exception
        import dns.nameserver

        if self._servers:
            if self._resolver is None:
                self._resolver = dns.asyncresolver.Resolver(configure=False)
                self._resolver.nameservers = [
                    dns.nameserver.Do53Nameserver(*server) for server in self._servers
                ]
            return self._resolver
        state = _state(self._configuration)
        if self._resolver is None or state != self._read_at:
            try:
                self._resolver = dns.asyncresolver.Resolver(str(self._configuration))
            except dns.exception.DNSException as error:
                raise DnsError(f"{self._configuration} names no DNS server") from error
            self._read_at = state
        return self._resolver


async def ask_families(
    client: DnsClient, name: str, families: Sequence[str]
) -> dict[str, Records | DnsError]:
    """What became of each of ``A`` and ``AAAA``, asked for at once."""
    found = await asyncio.gather(
        *(client.ask(name, family) for family in families), return_exceptions=True
    )
    known: dict[str, Records | DnsError] = {}
    for family, each in zip(families, found, strict=True):
        if isinstance(each, BaseException) and not isinstance(each, DnsError):
            raise each
        known[family] = each
    return known


def _state(path: Path) -> object:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return (found.st_ino, found.st_mtime_ns, found.st_size)


def _reason(error: "NoNameservers") -> str:
    """What the last server said."""
    errors = error.kwargs.get("errors") or ()
    for server, _, port, said, _ in reversed(list(errors)):
        address = str(server).removeprefix("Do53:").partition("@")[0]
        return f"{shown_address(address, port)} says {said}"
    return "none is left to ask"
