"""The document's part about traces."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field

from penstock.config.document.section import Section, required, setting
from penstock.config.document.show import show
from penstock.config.document.values import Flag, PositiveDuration, Share
from penstock.core import snapshot


def parse_collector(value: object) -> str:
    """The address of a collector, without a path of OTLP's own. Raises ValueError."""
    if isinstance(value, str):
        url = urlsplit(value)
        if url.scheme in ("http", "https") and url.hostname and not (url.query or url.fragment):
            if url.username is not None:
                raise ValueError("give secrets in a `headers_file`, not in the address")
            for path in ("/v1/traces", "/v1/metrics"):
                if url.path.rstrip("/").endswith(path):
                    raise ValueError(f"leave out the path {path}, which is added")
            if url.port == 4317:
                raise ValueError(
                    "OTLP over HTTP is sent, for which collectors listen on port 4318; 4317 is "
                    "for gRPC"
                )
            return value
    raise ValueError(f"http://host:4318 or an https:// address is needed, not {show(value)}")


class Traces(Section):
    """Spans of OpenTelemetry, sent to a collector over OTLP/HTTP (docs/traces.md)."""

    collector: Annotated[str, BeforeValidator(parse_collector)] = required(
        "The collector: `http://host:4318`; `/v1/traces` is added."
    )
    sample: Share = setting(
        0.01,
        "Share of requests that are traced. A `traceparent` from `trusted_proxies` decides for "
        "itself.",
    )
    errors: Flag = setting(True, "Trace those besides that went wrong or got a 5xx.")
    slower_than: PositiveDuration | None = setting(
        None, "Trace those besides that took so long or longer."
    )
    service_name: Annotated[str, Field(min_length=1)] = setting(
        "penstock", "What spans say they are of (`service.name`)."
    )
    headers_file: str | None = setting(
        None,
        "A file of headers for the collector, such as `Authorization: Bearer …`, one a line; read "
        "anew for each batch.",
    )

    def compiled(self, headers_file: str) -> snapshot.Traces:
        """As workers take it."""
        return snapshot.Traces(
            self.collector,
            self.sample,
            self.errors,
            self.slower_than or 0.0,
            self.service_name,
            headers_file,
        )
