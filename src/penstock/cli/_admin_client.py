"""The client of a balancer's admin address."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import click

from penstock._reasons import reason_of
from penstock.admin.command import Command
from penstock.core.snapshot.address import socket_path

if TYPE_CHECKING:  # loading it takes longer than most verbs
    import aiohttp

_TIMEOUT_S: Final = 30.0


@dataclass(frozen=True)
class Admin:
    """The admin address to talk to, and the token to show. ``url``: http, https, or unix:/path."""

    url: str
    token: str | None
    ca_file: Path | None = None  # with who issued its certificate; None: the system's authorities

    @asynccontextmanager
    async def session(self, limits: aiohttp.ClientTimeout) -> AsyncIterator[aiohttp.ClientSession]:
        """A session that reaches ``self.base``. Raises click.ClickException."""
        import aiohttp

        path = socket_path(self.url)
        connector = (
            aiohttp.UnixConnector(path=path)
            if path
            else aiohttp.TCPConnector(ssl=self._context() if self.ca_file else True)
        )
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        async with aiohttp.ClientSession(
            headers=headers, timeout=limits, connector=connector
        ) as session:
            yield session

    @property
    def base(self) -> str:
        """What stands before the paths of its URLs."""
        return "http://localhost" if socket_path(self.url) else self.url

    def _context(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self.ca_file)
        except ssl.SSLError as error:
            raise click.ClickException(f"{self.ca_file} holds no certificates in PEM") from error

    def get(self, path: str) -> dict[str, Any]:
        """What the address says. Raises click.ClickException."""
        return self._ask("GET", path, None)

    def give(self, command: type[Command], values: dict[str, object]) -> dict[str, Any]:
        """The answer to a command. Raises click.ClickException when it is refused."""
        if command.method == "GET":
            return self.get(f"{command.path()}?{urlencode(values)}")
        return self._ask(command.method, command.path(), values)

    async def ask(self, method: str, path: str, body: dict[str, object] | None) -> dict[str, Any]:
        """One question and its answer. Raises click.ClickException."""
        import aiohttp

        try:
            timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
            async with (
                self.session(timeout) as session,
                session.request(method, self.base + path, json=body) as response,
            ):
                return self.answer(response.status, await response.read())
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise self.failure(error) from error

    def failure(self, error: Exception) -> click.ClickException:
        """Why there is no answer, for people."""
        import aiohttp

        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            return click.ClickException(
                f"the certificate at {self.url} is not trusted ({error.certificate_error}): "
                "`--ca-file` names who issued it"
            )
        if isinstance(error, aiohttp.ClientConnectorError):
            return click.ClickException(
                f"nothing answers at {self.url} ({reason_of(error)}). Is the balancer "
                "running? Use `--admin` or PENSTOCK_ADMIN if its admin address is a different one."
            )
        if isinstance(error, aiohttp.InvalidURL):
            return click.ClickException(f"--admin {self.url!r} is not a URL")
        timed_out = isinstance(error, TimeoutError)
        reason = f"no answer within {_TIMEOUT_S:g} s" if timed_out else reason_of(error)
        return click.ClickException(f"{self.url}: {reason}")

    def _ask(self, method: str, path: str, body: dict[str, object] | None) -> dict[str, Any]:
        return asyncio.run(self.ask(method, path, body))

    def answer(self, status: int, text: bytes) -> dict[str, Any]:
        """What it says. Raises click.ClickException where it refuses."""
        try:
            answer = json.loads(text)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise click.ClickException(
                f"{self.url} answered {status}, but it is not a Penstock admin address"
            )
        if status == 401:
            raise click.ClickException(
                f"{self.url} requires a token: use `--token-file` or PENSTOCK_TOKEN"
            )
        if status >= 400:
            reason = answer.get("error") or answer.get("message") or f"answered {status}"
            raise click.ClickException(str(reason))
        return answer
