"""Penstock with a tenant and without, for language models and for anything else."""

import json
from typing import Any

from benchmarks.balancers.penstock import Penstock
from benchmarks.site import HEALTH_PATH, Site
from benchmarks.tenants.asked import KEY, Allowed


class KeyedPenstock(Penstock):
    """``allowed`` None: without tenants, as ``Penstock`` is."""

    def __init__(
        self,
        python: str,
        *,
        allowed: Allowed | None,
        kind: str = "llm",
        interpreted: bool = False,
        workers: int = 0,
        variant: str = "",
    ) -> None:
        super().__init__(
            python, interpreted=interpreted, kind=kind, workers=workers, variant=variant
        )
        self.allowed = allowed
        self.kind = kind

    def configuration(self, site: Site) -> str:
        document: dict[str, Any] = json.loads(super().configuration(site))
        # The same routes without tenants, so that these alone make the difference.
        open_to_all: dict[str, object] = {
            "match": {"path_prefix": HEALTH_PATH},
            "pool": "endpoints",
        }
        document["routes"] = [open_to_all, {"pool": "endpoints"}]
        if self.allowed is not None:
            open_to_all["tenants"] = "off"
            tenant = tenant_of(self.allowed, tokens=self.kind == "llm")
            document["tenants"] = {"acme": tenant}
        return json.dumps(document, indent=1)


def tenant_of(allowed: Allowed, *, tokens: bool) -> dict[str, Any]:
    """A tenant with one key that is held to that; ``tokens``: to those too."""
    limits: list[dict[str, object]] = [
        {"requests": allowed.requests, "per": "minute"},
        {"concurrent": allowed.concurrent},
    ]
    if tokens:
        limits.append({"tokens": allowed.tokens, "per": "minute"})
    tenant: dict[str, Any] = {"keys": {"ci": {"key": KEY}}, "limits": limits}
    if allowed.budget_tokens:
        tenant["budgets"] = [{"tokens": allowed.budget_tokens, "per": "day"}]
    return tenant
