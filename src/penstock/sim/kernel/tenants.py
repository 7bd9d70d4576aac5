"""Tenants of a simulated pool: who sends which part of the requests."""

from random import Random

from penstock.core.caller import Caller
from penstock.core.request import Request
from penstock.sim.kernel.job import Job
from penstock.sim.kernel.laws import Law
from penstock.sim.kernel.source import Workload


class TenantSender:
    """One tenant: its part of the arrivals, and the work that its requests bring."""

    def __init__(self, name: str, caller: Caller, share: float, work: Law | None) -> None:
        self.name: str = name
        self.caller: Caller = caller
        self.share: float = share
        self.work: Law | None = work  # None: as everybody's


class TenantWorkload(Workload):
    """Each request is of a tenant drawn in proportion to the shares."""

    def __init__(
        self, work: Law, rng: Random, tenants: Random, senders: list[TenantSender]
    ) -> None:
        super().__init__(work, rng)
        self._tenants: Random = tenants
        self._senders: list[TenantSender] = senders
        self._all_shares: float = sum([each.share for each in senders])

    def next_job(self, number: int, now: float) -> Job:
        chance = self._tenants.random() * self._all_shares
        sender = self._senders[-1]
        for candidate in self._senders:
            chance -= candidate.share
            if chance < 0.0:
                sender = candidate
                break
        work = sender.work if sender.work is not None else self._work
        request = Request(source=sender.name, caller=sender.caller)
        return self.made(number, request, work.draw(self._rng), now)
