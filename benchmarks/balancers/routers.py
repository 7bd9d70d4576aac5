"""The routers made for inference engines, from PyPI: ``vllm-router`` and ``sglang-router``."""

import importlib.metadata
import sys

from benchmarks.balancers.balancer import Balancer, UnavailableError
from benchmarks.site import Site


class Router(Balancer):
    """Both have the same command line and differ in its module."""

    def __init__(self, package: str, policy: str) -> None:
        self.name = f"{package} {policy}"
        self._package = package
        self._module = package.replace("-", "_") + ".launch_router"
        self.policy = policy

    def version(self) -> str:
        try:
            return importlib.metadata.version(self._package)
        except importlib.metadata.PackageNotFoundError as error:
            raise UnavailableError(
                f"{self._package} is not installed; `pip install {self._package}` has it"
            ) from error

    def configuration(self, site: Site) -> str:
        return ""  # all of it is on the command line

    def command(self, site: Site) -> list[str]:
        return [
            sys.executable,
            "-m",
            self._module,
            "--worker-urls",
            *(f"http://{host}:{port}" for host, port in site.endpoints),
            "--policy",
            self.policy,
            "--host",
            "127.0.0.1",
            "--port",
            str(site.port),
            "--prometheus-port",
            str(site.admin_port),
            "--log-level",
            "warning" if self._package == "vllm-router" else "warn",
            *self._kv_events(site),
        ]

    def _kv_events(self, site: Site) -> list[str]:
        """Where each engine publishes and replays what its cache does."""
        if not site.kv_event_ports:
            return []
        arguments = ["--kv-event-model", site.model]
        for (host, port), events in zip(site.endpoints, site.kv_event_ports, strict=False):
            worker = f"http://{host}:{port}"
            for option, at in (("", events), ("-replay", events + 1)):
                arguments += [f"--kv-event{option}-source", f"{worker}=tcp://{host}:{at}"]
        return arguments
