"""What a start imports: what is to run, and no room of the house that nobody asked for.

Times depend on the machine; what was imported does not.
"""

import subprocess
import sys
from typing import Final

import pytest

# Each costs tens of milliseconds, or megabytes that stay for good.
_LARGE: Final = {
    *("acme", "boto3", "cryptography", "dns", "grpc", "h2", "httpx", "hypothesis", "jwt"),
    *("kubernetes", "matplotlib", "numpy", "pydantic", "pydantic_core", "redis", "rich", "scipy"),
    *("yaml", "penstock.config.document.model", "penstock.fleet", "penstock.sim"),
    "penstock.theory",
}
_OF_WORKERS: Final = {"penstock.dataplane.client.http1", "penstock.dataplane.exchange.exchange"}
_OF_SUPERVISORS: Final = {
    *("asyncio", "aiohttp", "click", "email", "html", "http.client", "logging", "secrets"),
    *("penstock.admin", "penstock.cli", "penstock.config", "penstock.control", "tempfile"),
    *("prometheus_client", "urllib.request"),
}


@pytest.mark.parametrize(
    ("starts", "not_wanted"),
    [
        ("penstock.cli.main, penstock.cli.serve, penstock.control.supervisor", _OF_WORKERS),
        ("penstock.dataplane.worker.__main__", _OF_SUPERVISORS),
    ],
    ids=["supervisor", "worker"],
)
def test_a_start_imports_nothing_large_that_it_does_not_run(
    starts: str, not_wanted: set[str]
) -> None:
    told = subprocess.run(
        [sys.executable, "-c", f"import sys, {starts}; print(*sys.modules)"],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    assert (not_wanted | _LARGE) & set(told.stdout.split()) == set()
