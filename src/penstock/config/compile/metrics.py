"""Where metrics are pushed."""

from penstock.config.compile.traces import headers_file_of
from penstock.config.document.metrics import LEAST_EVERY_S, Metrics
from penstock.config.load.findings import Findings
from penstock.core import snapshot


def compile_metrics(metrics: Metrics | None, findings: Findings) -> snapshot.MetricsPush | None:
    """What the section says; None without one."""
    if metrics is None:
        return None
    if metrics.every < LEAST_EVERY_S:
        findings.wrong(("metrics", "every"), f"{LEAST_EVERY_S:g}s is the least")
    return metrics.compiled(headers_file_of(metrics.headers_file, "metrics", findings))
