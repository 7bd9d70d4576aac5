"""Endpoints that are a name's records: every address (A, AAAA), or every server (SRV, RFC 2782)."""

import asyncio
from collections.abc import Iterable
from math import inf
from typing import Any, ClassVar, Final

from penstock.control.discovery.provider import Answer, Provider, ProviderError
from penstock.control.endpoints.dns_client import (
    DnsClient,
    DnsError,
    NoRecordsError,
    Records,
    ask_families,
)
from penstock.control.endpoints.hosts_file import HostsFile
from penstock.core.snapshot.discovery import DnsDiscovery, Found

_FAMILIES: Final = {"A": ("A",), "AAAA": ("AAAA",), "A+AAAA": ("A", "AAAA"), "SRV": ("A", "AAAA")}
_VERSIONS: Final = {"A": False, "AAAA": True}  # whether its addresses have colons
_AT_ONCE: Final = 32  # look-ups of SRV records' targets
_HOSTS_S: Final = 5.0  # how long what /etc/hosts says is valid
# Of a record of weight 0 among others (RFC 2782: a very small chance), by the least of those.
_SMALL_SHARE: Final = 0.1


class DnsProvider(Provider):
    """Asks again when the records' time is over."""

    name: ClassVar[str] = "dns"

    def __init__(
        self,
        settings: DnsDiscovery,
        client: DnsClient | None = None,
        hosts: HostsFile | None = None,
    ) -> None:
        super().__init__(settings)
        self.longest_pause_s = max(self.first_pause_s, settings.most_ttl_s)
        self._asked: DnsDiscovery = settings
        self._client = client or DnsClient(settings.servers, settings.timeout_s)
        self._hosts = hosts or HostsFile()
        self._room = asyncio.Semaphore(_AT_ONCE)
        # Of each name and family, while they cannot be looked up.
        self._known: dict[tuple[str, str], tuple[str, ...]] = {}

    async def look(self) -> Answer:
        """By the records of the name at present."""
        if self._asked.record == "SRV":
            return await self._servers()
        addresses, ttl_s, problem = await self._addresses(self._asked.name)
        if not addresses:
            raise ProviderError(problem)
        problems = (problem,) if problem else ()
        return Answer(tuple(Found(each) for each in addresses), self._again(ttl_s), problems)

    async def _servers(self) -> Answer:
        try:
            records = await self._client.ask(self._asked.name, "SRV")
        except DnsError as error:
            raise ProviderError(str(error)) from error
        # A single record that points to the root says that there is no such service.
        given = [each for each in records.of if str(each.target) != "."]
        looked_up = await asyncio.gather(*(self._target(each) for each in given))
        ttl_s = min([records.ttl_s, *(ttl for _, ttl, _ in looked_up)])
        problems = tuple(problem for _, _, problem in looked_up if problem)
        weights, ranks = _weights(given), _ranks(given)
        found: dict[tuple[str, int], Found] = {}
        for record, (addresses, _, _) in zip(given, looked_up, strict=True):
            for address in addresses:
                each = Found(
                    address,
                    record.port,
                    weight=weights[record.priority][record.weight],
                    priority=ranks[record.priority],
                )
                found.setdefault((address, record.port), each)
        if problems and not found:
            raise ProviderError("; ".join(problems))
        return Answer(tuple(found.values()), self._again(ttl_s), problems)

    async def _target(self, record: Any) -> tuple[tuple[str, ...], float, str]:
        async with self._room:
            return await self._addresses(str(record.target).rstrip(".").lower())

    async def _addresses(self, name: str) -> tuple[tuple[str, ...], float, str]:
        """Of a name, how long they are valid, and what went wrong."""
        families = _FAMILIES[self._asked.record]
        listed = self._hosts.addresses(name) if not self._asked.servers else ()
        if listed:
            wanted = [_VERSIONS[family] for family in families]
            return tuple(each for each in listed if (":" in each) in wanted), _HOSTS_S, ""
        answers = await ask_families(self._client, name, families)
        found: list[str] = []
        ttl_s, problems = inf, []
        for family, answer in answers.items():
            if isinstance(answer, Records):
                self._known[name, family] = tuple(str(each.address) for each in answer.of)
                ttl_s = min(ttl_s, answer.ttl_s)
            elif not isinstance(answer, NoRecordsError):
                problems.append(str(answer))  # what is known of it is used on
            elif any(isinstance(other, Records) for other in answers.values()):
                self._known.pop((name, family), None)
            else:
                problems.append(str(answer))
            found += self._known.get((name, family), ())
        return tuple(found), 0.0 if problems else ttl_s, "; ".join(dict.fromkeys(problems))

    def _again(self, ttl_s: float) -> float:
        return min(max(ttl_s, self._asked.least_ttl_s), self._asked.most_ttl_s)


def _ranks(records: Iterable[Any]) -> dict[int, int]:
    """Priorities as priority groups: the least is 0."""
    return {each: rank for rank, each in enumerate(sorted({r.priority for r in records}))}


def _weights(records: Iterable[Any]) -> dict[int, dict[int, float]]:
    """By priority, what the weights of its records become."""
    found: dict[int, dict[int, float]] = {}
    for record in records:
        found.setdefault(record.priority, {})[record.weight] = float(record.weight)
    for weights in found.values():
        if 0 in weights:
            others = [weight for weight in weights.values() if weight > 0.0]
            weights[0] = min(others) * _SMALL_SHARE if others else 1.0
    return found
