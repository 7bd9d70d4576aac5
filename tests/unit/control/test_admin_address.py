"""The admin address on a socket file and with TLS, as `penstock ctl` reaches them."""

import asyncio
import os
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import click
import pytest

from penstock.admin.server import AdminServer
from penstock.cli._admin_client import Admin
from penstock.config.compile.configured import AdminSettings
from penstock.control.admin_address import AdminAddress
from penstock.control.events import Events
from penstock.control.workers.workers import StartError
from penstock.dataplane.board.memory import create_board
from tests.scenario.certificates import Authority
from tests.unit.admin.balancer import PlainBalancer


@pytest.fixture
async def balancer() -> AsyncIterator[PlainBalancer]:
    board = create_board(2, endpoint_rows=8, pool_rows=4)
    yield PlainBalancer(board)
    os.close(board.fd)


def address_of(balancer: PlainBalancer, settings: AdminSettings) -> tuple[AdminAddress, Events]:
    events = Events()
    server = AdminServer(balancer, balancer.commands, settings.token)
    return AdminAddress(server, settings, events), events


def url_of(events: Events) -> str:
    return str(events.recent(1)[0].fields["url"])


async def version_at(admin: Admin) -> str:
    version: str = (await admin.ask("GET", "/api/v1/status", None))["version"]
    return version


class TestSocketFile:
    async def test_its_owner_alone_reaches_it_and_it_goes_with_it(
        self, balancer: PlainBalancer, tmp_path: Path
    ) -> None:
        path = tmp_path / "admin.sock"
        address, events = address_of(balancer, AdminSettings(f"unix:{path}", 0, None))
        await address.open(None, None)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert url_of(events) == f"unix:{path}"
        assert await version_at(Admin(f"unix:{path}", None)) == "1.2.3"
        await address.close(left=False)
        assert not path.exists()

    async def test_a_successor_keeps_the_file(
        self, balancer: PlainBalancer, tmp_path: Path
    ) -> None:
        path = tmp_path / "admin.sock"
        settings = AdminSettings(f"unix:{path}", 0, None)
        first, _ = address_of(balancer, settings)
        await first.open(None, None)
        handed = socket.socket(fileno=os.dup(first.fd))
        handed.setblocking(False)

        class Before:
            admin_socket = handed

            def has_admin(self, host: str, port: int) -> bool:
                return (host, port) == (settings.host, settings.port)

        second, _ = address_of(balancer, settings)
        await second.open(None, Before())  # type: ignore[arg-type]
        await first.close(left=True)
        assert await version_at(Admin(f"unix:{path}", None)) == "1.2.3"
        await second.close(left=False)
        assert not path.exists()

    async def test_one_in_use_is_not_taken(self, balancer: PlainBalancer, tmp_path: Path) -> None:
        settings = AdminSettings(f"unix:{tmp_path}/admin.sock", 0, None)
        first, _ = address_of(balancer, settings)
        await first.open(None, None)
        second, _ = address_of(balancer, settings)
        with pytest.raises(StartError, match="cannot be listened on"):
            await second.open(None, None)
        await first.close(left=False)


class TestTls:
    async def test_who_trusts_the_authority_is_answered_and_others_are_told_what_to_do(
        self, balancer: PlainBalancer, tmp_path: Path
    ) -> None:
        authority = Authority(tmp_path)
        issued = authority.issue("localhost", "127.0.0.1")
        settings = AdminSettings(
            "127.0.0.1", 0, None, certificate=issued.certificate, key=issued.key
        )
        address, events = address_of(balancer, settings)
        await address.open(None, None)
        url = url_of(events)
        assert url.startswith("https://")
        assert await version_at(Admin(url, None, Path(authority.file))) == "1.2.3"
        with pytest.raises(click.ClickException, match="--ca-file"):
            await version_at(Admin(url, None))
        await address.close(left=False)

    async def test_a_certificate_that_changes_is_served_and_a_half_written_one_is_not(
        self, balancer: PlainBalancer, tmp_path: Path
    ) -> None:
        authority = Authority(tmp_path)
        issued = authority.issue("old.example")
        settings = AdminSettings(
            "127.0.0.1", 0, None, certificate=issued.certificate, key=issued.key
        )
        address, events = address_of(balancer, settings)
        await address.open(None, None)
        port = int(url_of(events).rpartition(":")[2])

        async def served_to(name: str) -> bool:
            try:
                _, writer = await asyncio.open_connection(
                    "127.0.0.1", port, ssl=authority.client(), server_hostname=name
                )
            except OSError:
                return False
            writer.close()
            return True

        assert await served_to("old.example")
        authority.write(issued.certificate, tmp_path / "late.key", "new.example")
        address.look()
        assert await served_to("old.example"), "the new key is not there yet"
        (tmp_path / "late.key").replace(issued.key)
        address.look()
        assert await served_to("new.example")
        await address.close(left=False)
