"""How a scenario writes tenants who share a pool, where requests are no prompts."""

from penstock.config.document.section import Section, required, setting
from penstock.config.document.values import Count, Factor
from penstock.core.caller import ANYONE, Caller
from penstock.sim.kernel.tenants import TenantSender
from penstock.sim.specs import LawSpec


class TenantTraffic(Section):
    """One tenant's part of the requests, and of the pool where there is not enough for all."""

    name: str = required("Of the tenant.")
    share: Factor = setting(1.0, "Of all arrivals, in proportion.")
    weight: Factor = setting(1.0, "Its share beside others that wait, in proportion.", gt=0)
    priority: Count | None = setting(None, "Of its requests, 0 first; `default_priority` without.")
    service: LawSpec | None = setting(None, "The work that its requests bring; as everybody's.")

    def caller(self) -> Caller:
        """As the balancer knows it."""
        priority = -1 if self.priority is None else self.priority
        return Caller(tenant=self.name, priority=priority, weight=self.weight)

    def build(self, *, known: bool) -> TenantSender:
        """Who sends them; ``known`` to the balancer, or anyone to it."""
        work = None if self.service is None else self.service.build()
        return TenantSender(self.name, self.caller() if known else ANYONE, self.share, work)
