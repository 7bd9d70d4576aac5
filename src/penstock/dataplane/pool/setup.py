"""What a snapshot says about a pool, made ready to be taken over without fail."""

import ssl

from penstock.core import snapshot
from penstock.core.admission import limit_of
from penstock.core.policy import create, policy_class
from penstock.core.policy.base import Policy
from penstock.core.pool.models import ModelNames
from penstock.core.retry import RetryRules
from penstock.dataplane.endpoint.address_race import Address, addresses_of
from penstock.dataplane.io.tls import ClientContexts, without_http2
from penstock.dataplane.pool.session_cookie import SessionCookie
from penstock.dataplane.record.recorder import check_file


class PoolSetup:
    """Of one pool, once; ``LivePool.configure`` takes it over."""

    def __init__(
        self, spec: snapshot.Pool, workers: int, contexts: ClientContexts | None = None
    ) -> None:
        """Raises OSError, ssl.SSLError or ValueError when the settings cannot be used."""
        self.spec: snapshot.Pool = spec
        self.names = ModelNames(
            dict(spec.models.aliases), dict(spec.models.fallbacks), spec.models.default
        )
        self.policy: Policy = create(spec.policy.name, dict(spec.policy.options))
        check_file(spec.decisions.file)
        limit_of(spec.admission)
        keys = [self.policy.key] + [policy_class(choice.name).key for choice in spec.shadow]
        self.key: str = next(filter(None, keys), "")
        uses_tls = any([endpoint.tls for endpoint in spec.endpoints])
        self.tls: ssl.SSLContext | None = None
        self.tls_over_http1: ssl.SSLContext | None = None  # where endpoints choose what is spoken
        if uses_tls:
            made = contexts if contexts is not None else ClientContexts()
            self.tls = made.of(spec.tls, spec.tls_generation)
            if spec.tls.http2 == "auto":
                settings = without_http2(spec.tls)
                self.tls_over_http1 = made.of(settings, spec.tls_generation)
        self.addresses: list[list[Address]] = [addresses_of(each) for each in spec.endpoints]
        self.rules: RetryRules = RetryRules(spec.retry)
        self.budget_min_per_s: float = spec.retry.budget_min_per_s / workers
        self.sticky: SessionCookie | None = None
        if spec.sticky is not None:
            self.sticky = SessionCookie(spec, spec.sticky)
