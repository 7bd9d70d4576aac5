"""Looks names of endpoints up so that their addresses can be followed as their TTL says.

/etc/hosts first, then DNS, which alone tells how long an answer is valid, then whatever else the
system asks (nsswitch.conf(5)), for names that neither knows.
"""

import re
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from penstock.control.endpoints.dns_client import (
    DnsClient,
    DnsError,
    NoRecordsError,
    Records,
    ask_families,
)
from penstock.control.endpoints.hosts_file import HostsFile
from penstock.control.endpoints.resolver import Answer, Resolver, SystemResolver, interleaved

_NSSWITCH: Final = Path("/etc/nsswitch.conf")
_HOSTS_LINE: Final = re.compile(r"^\s*hosts:(.*)$", re.MULTILINE)
_HOSTS_S: Final = 10.0  # how long what /etc/hosts says is valid
_MOST_TTL_S: Final = 300.0  # whatever a record says: a server that moved is found within that
_ANY_PORT: Final = 9


class NameResolver:
    """Answers with the TTL where DNS gave it."""

    def __init__(
        self,
        client: DnsClient | None = None,
        system: Resolver | None = None,
        hosts: HostsFile | None = None,
        nsswitch: Path = _NSSWITCH,
    ) -> None:
        self._client = client or DnsClient()
        self._system = system or SystemResolver()
        self._hosts = hosts or HostsFile()
        self._nsswitch = nsswitch

    async def look_up(self, host: str) -> Answer:
        """At least one address. Raises NoAddressError."""
        listed = self._hosts.addresses(host)
        if listed:
            return Answer(interleaved(_reachable_first(listed)), _HOSTS_S)
        if host == "localhost" or host.endswith(".localhost") or not self._asks_dns():
            return await self._system.look_up(host)
        answers = await ask_families(self._client, host, ("AAAA", "A"))
        records = [each for each in answers.values() if isinstance(each, Records)]
        addresses = [str(each.address) for some in records for each in some.of]
        if not addresses:
            return await self._system.look_up(host)
        ttl_s = min(each.ttl_s for each in records)
        if any(_failed(each) for each in answers.values()):
            ttl_s = 0.0  # one family is not known: soon again
        return Answer(interleaved(_reachable_first(addresses)), min(ttl_s, _MOST_TTL_S))

    def _asks_dns(self) -> bool:
        """Whether the system's configuration has names looked up in DNS."""
        try:
            text = self._nsswitch.read_text()
        except (OSError, UnicodeDecodeError):
            return True
        found = _HOSTS_LINE.search(text.replace("#", "\n#"))
        return found is None or bool({"dns", "resolve"} & set(found[1].split()))


def _failed(answer: Records | DnsError) -> bool:
    return isinstance(answer, DnsError) and not isinstance(answer, NoRecordsError)


def _reachable_first(addresses: Iterable[str]) -> list[str]:
    """Those to which there is a route go first (RFC 6724, rule 1), IPv6 before IPv4."""
    ordered = sorted(dict.fromkeys(addresses), key=lambda each: ":" not in each)
    return sorted(ordered, key=lambda each: not _has_route(each))


def _has_route(address: str) -> bool:
    """Nothing is sent by this."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as asking:
            asking.connect((address, _ANY_PORT))
    except OSError:
        return False
    return True
