"""What all balancers under measurement have in common."""

import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping

from benchmarks.process import START_S, Process
from benchmarks.site import HEALTH_PATH, Site


class UnavailableError(Exception):
    """The program is not installed, or not in the form that is to be measured."""


class Balancer(ABC):
    """A program that can be started on a ``Site``."""

    name: str
    health_path = HEALTH_PATH
    starts_within_s = START_S

    @abstractmethod
    def version(self) -> str:
        """As the program tells it. Raises UnavailableError."""

    @abstractmethod
    def configuration(self, site: Site) -> str:
        """The text of its configuration file."""

    @abstractmethod
    def command(self, site: Site) -> list[str]:
        """Its arguments; the configuration lies at ``self.file(site)``."""

    def environment(self) -> Mapping[str, str]:
        return {}

    def file(self, site: Site) -> str:
        """Where its configuration is written."""
        return str(site.directory / f"{self.name.replace(' ', '-')}.conf")

    def start(self, site: Site, cores: frozenset[int]) -> Process:
        """Running, and answering from an endpoint. Raises StartError."""
        with open(self.file(site), "w") as configuration:
            configuration.write(self.configuration(site))
        process = Process(
            self.command(site),
            cores=cores,
            log=site.directory / f"{self.name.replace(' ', '-')}.log",
            environment=self.environment(),
        )
        try:
            if site.protocol == "udp":
                process.wait_until_echoing(site.port)
                return process
            process.wait_until_listening(site.port, within_s=self.starts_within_s)
            if site.protocol != "tcp" and not site.http2:
                url = f"{site.url}{self.health_path}"
                process.wait_until_answering(url, within_s=self.starts_within_s)
        except BaseException:
            process.stop()
            raise
        return process


def find(program: str) -> str:
    """Its path. Raises UnavailableError."""
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise UnavailableError(f"{program} is not installed")
    return found


def ask(*command: str, environment: Mapping[str, str] | None = None) -> str:
    """What a program prints, errors included. Raises UnavailableError when it fails."""
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=60, check=False
    )
    if done.returncode != 0:
        raise UnavailableError(f"{' '.join(command)} fails: {(done.stderr or done.stdout).strip()}")
    return (done.stdout + done.stderr).strip()
