"""The whole look: a file, this machine, and the endpoints."""

from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from penstock.config.compile.snapshot import ConfigError, Configured, load_configuration
from penstock.control.doctor.endpoints import Looked, judge_endpoints, look_at_endpoints
from penstock.control.doctor.finding import Finding, Harm, in_order
from penstock.control.doctor.listening import judge_addresses, judge_certificates
from penstock.control.doctor.machine import Machine, judge_machine, read_machine
from penstock.core.snapshot.address import shown_address, socket_path


@dataclass(frozen=True)
class Examined:
    """What was looked at, and what was found, the most harmful first."""

    machine: Machine
    findings: list[Finding]
    endpoints: list[Looked] = field(default_factory=list)
    running: bool = False

    @property
    def worst(self) -> Harm | None:
        """None where nothing was found."""
        return max((each.harm for each in self.findings), default=None)


async def examine(file: Path | None, machine: Machine | None = None) -> Examined:
    """Look once. Without a file, at the machine alone."""
    machine = read_machine() if machine is None else machine
    if file is None:
        return Examined(machine, in_order(list(judge_machine(machine, None))))
    try:
        configured = load_configuration(file)
    except ConfigError as error:
        told = [line for line in str(error).splitlines() if not line.endswith("errors:")]
        wrong = [
            Finding(Harm.ERROR, str(file), line.removeprefix(f"{file}:"), "correct the file")
            for line in told
        ]
        return Examined(machine, in_order([*wrong, *judge_machine(machine, None)]))
    running = await _is_running(configured)
    looked = await look_at_endpoints(configured)
    findings = [
        *(Finding(Harm.WARNING, "the file", each) for each in configured.warnings),
        *judge_addresses(configured, running),
        *judge_certificates(configured),
        *judge_endpoints(configured, looked),
        *judge_machine(machine, configured),
    ]
    return Examined(machine, in_order(findings), looked, running)


async def _is_running(configured: Configured) -> bool:
    """Whether a balancer answers at the admin address: it then listens where the file says.

    No token is shown: who listens there is not known yet.
    """
    admin = configured.admin
    if not admin.host:
        return False
    path = socket_path(admin.host)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(admin.host, admin.host)  # noqa: S104
    scheme = "https" if admin.certificate else "http"
    reached = "localhost" if path else shown_address(host, admin.port)
    connector = aiohttp.UnixConnector(path) if path else aiohttp.TCPConnector(ssl=False)
    timeout = aiohttp.ClientTimeout(total=1.0)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, connector=connector) as session,
            session.get(f"{scheme}://{reached}/healthz") as response,
        ):
            return bool(await response.json() == {"alive": True})
    except (OSError, aiohttp.ClientError, ValueError):
        return False
