"""Penstock with a tenant and without, for language models and for anything else."""

import json
from typing import Any

from benchmarks.balancers.penstock import Penstock
from benchmarks.site import HEALTH_PATH, Site
from benchmarks.tenants.asked import Allowed, Keys


class KeyedPenstock(Penstock):
    """``allowed`` None: without tenants, as ``Penstock`` is."""

    starts_within_s = 120.0  # on a busy machine

    def __init__(
        self,
        python: str,
        *,
        allowed: Keys | None,
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
            document["tenants"] = {
                f"tenant-{number}": tenant_of(key, allowed, tokens=self.kind == "llm")
                for number, (key, allowed) in enumerate(self.allowed.items())
            }
        return json.dumps(document, indent=1)


def tenant_of(key: str, allowed: Allowed, *, tokens: bool) -> dict[str, Any]:
    """A tenant with one key that is held to that; ``tokens``: to those too."""
    limits: list[dict[str, object]] = [
        {"requests": allowed.requests, "per": "minute"},
        {"concurrent": allowed.concurrent},
    ]
    if tokens:
        limits.append({"tokens": allowed.tokens, "per": "minute"})
    tenant: dict[str, Any] = {"keys": {"ci": {"key": key}}, "limits": limits}
    if allowed.budget_tokens:
        tenant["budgets"] = [{"tokens": allowed.budget_tokens, "per": "day"}]
    return tenant
