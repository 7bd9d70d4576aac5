"""Which requests are traced, and where spans go."""

from pathlib import Path

from penstock.config.document.traces import Traces
from penstock.config.load.findings import Findings
from penstock.core import snapshot


def compile_traces(traces: Traces | None, findings: Findings) -> snapshot.Traces | None:
    """What the section says; None without one."""
    if traces is None:
        return None
    return traces.compiled(headers_file_of(traces.headers_file, "traces", findings))


def headers_file_of(given: str | None, section: str, findings: Findings) -> str:
    """Its path; "" where none is given."""
    if given is None:
        return ""
    file: Path = findings.path(given)
    if not file.is_file():
        findings.wrong((section, "headers_file"), f"{file} is no file that can be read")
    return str(file)
