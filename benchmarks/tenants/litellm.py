"""LiteLLM's proxy, from PyPI, in an environment of its own, without a database.

Its virtual keys need Postgres. What it has without is a function of the operator's that says what a
key may do (``custom_auth``); its limiter counts that in its own memory.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from secrets import token_hex
from typing import Final

import yaml

from benchmarks.balancers.balancer import Balancer, UnavailableError, ask
from benchmarks.site import Site
from benchmarks.tenants.asked import MODEL, Keys

REQUIREMENT: Final = "litellm[proxy]==1.108.0"
_ENVIRONMENT: Final = Path(".benchmarks") / "litellm"
_MASTER_KEY: Final = f"sk-{token_hex(32)}"  # that nobody uses
_INSTALL_S: Final = 900.0
_VERSION: Final = "import importlib.metadata as m; print(m.version('litellm'))"

# Read by LiteLLM, in its own environment.
_AUTHENTICATION: Final = """\
from litellm.proxy._types import UserAPIKeyAuth

ALLOWED = {allowed!r}


async def authenticate(request, api_key):
    if api_key not in ALLOWED:
        raise ValueError("wrong key")
    requests, tokens, concurrent = ALLOWED[api_key]
    return UserAPIKeyAuth(
        api_key=api_key,
        rpm_limit=requests,
        tpm_limit=tokens,
        max_parallel_requests=concurrent,
    )
"""


class LiteLLM(Balancer):
    """``allowed`` None: no key is asked for, and nothing is limited."""

    health_path = "/health/liveliness"  # /health asks the models
    starts_within_s = 600.0  # it imports for ten seconds of CPU time

    def __init__(self, *, allowed: Keys | None, workers: int = 1, variant: str = "") -> None:
        self.name = f"LiteLLM{variant}"
        self.allowed = allowed
        self._workers = workers

    def version(self) -> str:
        return ask(str(_python()), "-c", _VERSION)

    def environment(self) -> Mapping[str, str]:
        """It asks nobody elsewhere. Without a master key it starts only when told that this is
        meant; with one, every request has to show a key."""
        unset = "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY"
        keys = {unset: "true"} if self.allowed is None else {"LITELLM_MASTER_KEY": _MASTER_KEY}
        return {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", **keys}

    def file(self, site: Site) -> str:
        return str(site.directory / f"{self.name.replace(',', '').replace(' ', '-')}.yaml")

    def configuration(self, site: Site) -> str:
        document: dict[str, object] = {
            "model_list": [
                {
                    "model_name": MODEL,
                    "litellm_params": {
                        "model": f"openai/{MODEL}",
                        "api_base": f"http://{host}:{port}/v1",
                        "api_key": "sk-none",
                    },
                }
                for host, port in site.endpoints
            ],
            "router_settings": {"num_retries": 0},
        }
        if self.allowed is not None:
            module = self.file(site).rpartition("/")[2].removesuffix(".yaml").replace("-", "_")
            keys = {
                key: (each.requests, each.tokens, each.concurrent)
                for key, each in self.allowed.items()
            }
            code = _AUTHENTICATION.format(allowed=keys)
            (site.directory / f"{module}.py").write_text(code)
            document["general_settings"] = {"custom_auth": f"{module}.authenticate"}
        return yaml.safe_dump(document)

    def command(self, site: Site) -> list[str]:
        return [
            str(_python().with_name("litellm")),
            f"--config={self.file(site)}",
            "--host=127.0.0.1",
            f"--port={site.port}",
            f"--num_workers={self._workers}",
            "--telemetry=False",
        ]


def _python() -> Path:
    """The interpreter of its environment, which is made if there is none. UnavailableError."""
    python = _ENVIRONMENT.absolute() / "bin" / "python"
    if python.with_name("litellm").exists():
        return python
    try:
        _run(sys.executable, "-m", "venv", str(_ENVIRONMENT))
        _run(str(python), "-m", "pip", "install", "--quiet", REQUIREMENT)
    except (OSError, subprocess.SubprocessError) as why:
        told = getattr(why, "stderr", None) or str(why)
        raise UnavailableError(f"{REQUIREMENT} cannot be installed: {told.strip()}") from why
    return python


def _run(*command: str) -> None:
    clean = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=_INSTALL_S, env=clean
    )
