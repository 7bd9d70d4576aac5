"""What is to be checked, and how a check went."""

from dataclasses import dataclass

from penstock.core.snapshot import Endpoint, EndpointTls, HealthCheck


@dataclass(frozen=True)
class CheckTarget:
    """What to check and how."""

    pool: str
    endpoint: Endpoint
    check: HealthCheck
    tls: EndpointTls
    proxy_protocol: str = "off"  # of its pool

    @property
    def port(self) -> int:
        """The endpoint's own unless the check has one."""
        return self.check.port or self.endpoint.port


@dataclass(frozen=True)
class CheckResult:
    """How a check went; ``detail`` is for people."""

    passed: bool
    detail: str
