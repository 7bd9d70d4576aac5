"""``python -m benchmarks.endings``: end what can be ended, in every way, and look at the counts."""

import json
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any, Final

import click

from benchmarks import accounts
from benchmarks.cores import available
from benchmarks.endings.clients import CLIENTS, ENDINGS_OF
from benchmarks.endings.servers import Servers
from benchmarks.limits import raise_descriptor_limit
from benchmarks.process import Process, end_in_order_when_terminated, free_ports
from benchmarks.scenarios.scenario import temporary_directory

_AT_ONCE: Final = 16
_IDLE_S: Final = 1.0  # of tunnels and sessions: what nobody ends must end
_SETTLE_S: Final = 30.0  # at most, until all counts are zero
_DRAINED_S: Final = 2.5  # at a time: over the deadline of a drain


class Site:
    """The balancer, with a listener for each protocol."""

    def __init__(self, servers: Servers, directory: Path, interpreter: str, stack: ExitStack):
        admin, web, line, arena = free_ports(4)
        self.addresses = {
            "http1": ("127.0.0.1", web),
            "http2": ("127.0.0.1", web),
            "websocket": ("127.0.0.1", web),
            "tcp": ("127.0.0.1", line),
            "udp": ("127.0.0.1", arena),
        }
        self._endpoints = (
            ("web", f"127.0.0.1:{servers.http_port}"),
            ("line", f"127.0.0.1:{servers.tcp_port}"),
        )
        self._admin = f"http://127.0.0.1:{admin}"
        file = directory / "penstock.yaml"
        file.write_text(json.dumps(_document(servers, admin, web, line, arena)))
        command = [interpreter, "-m", "penstock", "serve", "--config", str(file)]
        self.process = stack.enter_context(
            Process(command, cores=frozenset(available()), log=directory / "penstock.log")
        )
        self.process.wait_until_listening(web, line)
        self.process.wait_until_answering(f"{self._admin}/api/v1/status")

    def ask(self, path: str, body: object = None) -> dict[str, Any]:
        request = urllib.request.Request(self._admin + path)
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=10.0) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    def counts(self) -> dict[str, int]:
        """All that must be zero when nothing is under way."""
        status = self.ask("/api/v1/status")
        found = {
            "clients' connections": sum(each["connections"] for each in status["workers"]),
            "sessions": sum(each["sessions"] for each in status["workers"]),
        }
        for pool in status["pools"]:
            found[f"waiting in {pool['name']}"] = pool["admission"]["waiting"]
            found[f"in flight in {pool['name']}"] = sum(
                each["in_flight"] for each in pool["endpoints"]
            )
        return found

    def drain_in_turn(self, over: threading.Event) -> None:
        """Take the endpoints out of service one after the other, for long enough that their tunnels
        are closed, and back."""
        while not over.is_set():
            for pool, name in self._endpoints:
                over.wait(2.0 * _DRAINED_S)
                if not over.is_set():
                    self.ask("/api/v1/drain", {"pool": pool, "endpoint": name})
                    over.wait(_DRAINED_S)
                    self.ask("/api/v1/undrain", {"pool": pool, "endpoint": name})

    def told(self) -> str:
        """How they ended, as far as it was counted."""
        lines = []
        for pool in self.ask("/api/v1/status")["pools"]:
            kinds = ", ".join(
                f"{kind} {count}" for kind, count in pool["responses"].items() if count
            )
            lines.append(
                f"{pool['name']}: {pool['requests']} ({kinds or 'no responses'}), "
                f"{pool['client_gone']} left by clients, {pool['cut']} cut"
            )
        return "\n".join(lines)

    def descriptors(self) -> int:
        return accounts.descriptors(self.process.tree())

    def idle_connections(self) -> int:
        """To endpoints, which are kept."""
        workers = self.ask("/api/v1/status")["workers"]
        return sum(each["idle_endpoint_connections"] for each in workers)


def _document(servers: Servers, admin: int, web: int, line: int, arena: int) -> dict[str, Any]:
    pool = {
        "outlier": "off",
        "retry": {"attempts": 1},
        "drain": {"deadline": "1s"},
    }
    timeouts = {"tunnel_idle": f"{_IDLE_S}s", "first_byte": f"{_IDLE_S}s"}
    return {
        "listeners": {
            "web": {"address": f"127.0.0.1:{web}", "timeouts": {"keep_alive_idle": "1s"}},
            "line": {"address": f"127.0.0.1:{line}", "protocol": "tcp", "pool": "line"},
            "arena": {"address": f"127.0.0.1:{arena}", "protocol": "udp", "pool": "arena"},
        },
        "routes": [{"match": {"listeners": "web"}, "pool": "web"}],
        "pools": {
            "web": {
                **pool,
                "endpoints": [f"http://127.0.0.1:{servers.http_port}"],
                "timeouts": timeouts,
                "connections": {"idle_timeout": "2s"},
            },
            "line": {
                **pool,
                "endpoints": [f"tcp://127.0.0.1:{servers.tcp_port}"],
                "timeouts": {"tunnel_idle": f"{_IDLE_S}s"},
            },
            "arena": {
                "outlier": "off",
                "endpoints": [f"udp://127.0.0.1:{servers.udp_port}"],
                "timeouts": {"session_idle": f"{_IDLE_S}s"},
            },
        },
        "admin": f"127.0.0.1:{admin}",
        "workers": 1,
        "request_log": "off",
    }


def end_many(site: Site, protocols: list[str], count: int, seed: int) -> int:
    """How many ended."""
    chance = Random(seed)
    ended = 0
    plan: list[str] = []
    while ended < count:
        protocol = chance.choice(protocols)
        plan.append(protocol)
        ended += ENDINGS_OF.get(protocol, 1)

    def end_one(number: int) -> None:
        protocol = plan[number]
        CLIENTS[protocol](site.addresses[protocol], Random(f"{seed} {number}"))

    over = threading.Event()
    draining = threading.Thread(target=site.drain_in_turn, args=(over,))
    draining.start()
    try:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for _ in pool.map(end_one, range(len(plan))):
                pass
    finally:
        over.set()
        draining.join()
    return ended


def wait_until(condition: Callable[[], bool]) -> bool:
    """Whether it came to be."""
    until = time.monotonic() + _SETTLE_S
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.25)
    return True


@click.command()
@click.option("--endings", default=10_000, show_default=True, help="How many, at least.")
@click.option("--only", default=",".join(CLIENTS), show_default=True, help="Protocols.")
@click.option("--seed", default=1, show_default=True)
@click.option(
    "--penstock-python", default=sys.executable, help="The interpreter that has Penstock."
)
def main(endings: int, only: str, seed: int, penstock_python: str) -> None:
    """End connections, requests, streams and sessions in every way, and look at the counts.

    Example: python -m benchmarks.endings --only websocket,tcp
    """
    raise_descriptor_limit()
    end_in_order_when_terminated()
    protocols = only.split(",")
    unknown = [each for each in protocols if each not in CLIENTS]
    if unknown:
        raise click.BadParameter(
            f"{unknown[0]}: there are {', '.join(CLIENTS)}", param_hint="--only"
        )
    with ExitStack() as stack:
        directory = stack.enter_context(temporary_directory())
        site = Site(Servers(), directory, penstock_python, stack)
        end_many(site, protocols, len(protocols) * 20, seed - 1)  # warms up
        wait_until(lambda: not any(site.counts().values()) and site.idle_connections() == 0)
        before = site.descriptors()
        ended = end_many(site, protocols, endings, seed)
        settled = wait_until(
            lambda: (
                not any(site.counts().values())
                and site.idle_connections() == 0
                and site.descriptors() <= before
            )
        )
        counts, descriptors = site.counts(), site.descriptors() - before
        words = (directory / "penstock.log").read_text()
        told = site.told()
    click.echo(f"{ended:,} endings of {', '.join(protocols)}\n{told}")
    for name, value in counts.items():
        click.echo(f"{name}: {value}")
    click.echo(f"descriptors: {descriptors:+d}")
    if not settled or "Traceback" in words:
        click.echo(words[-20_000:])
        sys.exit(1)


if __name__ == "__main__":
    main()
