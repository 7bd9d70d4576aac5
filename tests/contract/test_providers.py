"""What holds for every provider of endpoints: a server that is not there takes nothing away, holds
up nobody, and is told."""

import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from time import monotonic

import pytest

from penstock.config.document.discover import PROVIDERS, Discover
from penstock.control.discovery.following import Discoveries
from penstock.control.discovery.membership import Membership
from penstock.control.discovery.provider import Provider
from penstock.control.discovery.providers import providers
from penstock.control.discovery.source import provider_source
from penstock.control.events import Events
from penstock.core.snapshot import Discovery, Endpoint, Pool, Snapshot
from penstock.core.snapshot.discovery import (
    ConsulDiscovery,
    DnsDiscovery,
    DockerDiscovery,
    FileDiscovery,
    HttpDiscovery,
    KubernetesDiscovery,
    ProviderSettings,
)
from tests.unit.control.waiting import until

# By name, with settings of a server that is not there.
NOBODY: dict[str, Callable[[Path, int], ProviderSettings]] = {
    "consul": lambda _, port: ConsulDiscovery("web", url=f"http://127.0.0.1:{port}"),
    "dns": lambda _, port: DnsDiscovery("a", servers=(("127.0.0.1", port),), timeout_s=0.2),
    "docker": lambda path, _: DockerDiscovery(("a",), socket=str(path / "docker.sock")),
    "file": lambda path, _: FileDiscovery(str(path / "none.json")),
    "http": lambda _, port: HttpDiscovery(f"http://127.0.0.1:{port}/"),
    "kubernetes": lambda _, port: KubernetesDiscovery("web", server=f"http://127.0.0.1:{port}"),
}


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        number: int = listening.getsockname()[1]
        return number


@pytest.fixture
async def followed(
    request: pytest.FixtureRequest, tmp_path: Path, port: int
) -> AsyncIterator[tuple[Discoveries, Membership, Snapshot]]:
    """A provider whose endpoint was known before."""
    discovery = Discovery(NOBODY[request.param](tmp_path, port), port=80)
    membership = Membership(monotonic)
    source = provider_source(0, discovery.shown)
    membership.configure({"main": [source]}, {})
    membership.set(source, "main", [Endpoint(name="", host="10.0.0.1", port=80)])
    spec = Snapshot(0, (), (), (Pool(name="main", endpoints=(), discover=(discovery,)),))
    made = Discoveries(membership, Events())
    yield made, membership, spec
    await made.stop()


def test_every_provider_is_tried_here_and_configured_by_its_name() -> None:
    assert list(providers()) == sorted(NOBODY) == sorted(PROVIDERS)
    assert set(PROVIDERS) <= set(Discover.model_fields)


@pytest.mark.parametrize("name", sorted(NOBODY))
def test_a_provider_is_found_by_the_tag_of_its_settings(name: str, tmp_path: Path) -> None:
    discovery = Discovery(NOBODY[name](tmp_path, 1))
    assert discovery.provider == name
    assert discovery.shown.startswith(name)
    assert issubclass(providers()[name], Provider)


@pytest.mark.parametrize("followed", sorted(NOBODY), indirect=True)
async def test_who_is_not_there_takes_nothing_away_and_is_told(
    followed: tuple[Discoveries, Membership, Snapshot],
) -> None:
    discoveries, membership, spec = followed
    await discoveries.search(spec, wait_s=0.001)  # it is not waited for
    discoveries.configure(spec, {"main": ()})
    await until(lambda: discoveries.views("main")[0].state == "failing", "it is told")
    [view] = discoveries.views("main")
    assert view.reason.endswith("; the 1 known before are used")
    assert [each.host for each in membership.members("main", ())] == ["10.0.0.1"]
