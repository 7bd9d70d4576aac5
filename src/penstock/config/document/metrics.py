"""The document's part about metrics that are pushed."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from penstock.config.document.section import Section, required, setting
from penstock.config.document.traces import parse_collector
from penstock.config.document.values import PositiveDuration
from penstock.core import snapshot

LEAST_EVERY_S = 1.0


class Metrics(Section):
    """All metrics, pushed to a collector of OpenTelemetry over OTLP/HTTP (docs/operations.md)."""

    collector: Annotated[str, BeforeValidator(parse_collector)] = required(
        "The collector: `http://host:4318`; `/v1/metrics` is added."
    )
    every: PositiveDuration = setting(15.0, "How often; at least `1s`.")
    service_name: Annotated[str, Field(min_length=1)] = setting(
        "penstock", "What metrics say they are of (`service.name`)."
    )
    headers_file: str | None = setting(
        None,
        "A file of headers for the collector, such as `Authorization: Bearer …`, one a line; read "
        "anew each time.",
    )

    def compiled(self, headers_file: str) -> snapshot.MetricsPush:
        """As the supervisor takes it."""
        return snapshot.MetricsPush(self.collector, self.every, self.service_name, headers_file)
