"""Which requests are traced, and where spans go."""

from pathlib import Path

from penstock.config.document.traces import Traces
from penstock.config.load.findings import Findings
from penstock.core import snapshot


def compile_traces(traces: Traces | None, findings: Findings) -> snapshot.Traces | None:
    """What the section says; None without one."""
    if traces is None:
        return None
    if traces.headers_file is None:
        return traces.compiled("")
    file: Path = findings.path(traces.headers_file)
    if not file.is_file():
        findings.wrong(("traces", "headers_file"), f"{file} is no file that can be read")
    return traces.compiled(str(file))
