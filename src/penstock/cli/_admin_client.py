"""The client of a balancer's admin address."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

import click

from penstock._reasons import reason_of
from penstock.admin.command import Command

_TIMEOUT_S: Final = 30.0


@dataclass(frozen=True)
class Admin:
    """The admin address to talk to, and the token to show."""

    url: str
    token: str | None

    def get(self, path: str) -> dict[str, Any]:
        """What the address says. Raises click.ClickException."""
        return self._ask("GET", path, None)

    def give(self, command: type[Command], values: dict[str, object]) -> dict[str, Any]:
        """The answer to a command. Raises click.ClickException when it is refused."""
        if command.method == "GET":
            return self.get(f"{command.path()}?{urlencode(values)}")
        return self._ask(command.method, command.path(), values)

    def _ask(self, method: str, path: str, body: dict[str, object] | None) -> dict[str, Any]:
        import aiohttp

        async def ask() -> tuple[int, bytes]:
            headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
            timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
            async with (
                aiohttp.ClientSession(headers=headers, timeout=timeout) as session,
                session.request(method, self.url + path, json=body) as response,
            ):
                return response.status, await response.read()

        try:
            status, text = asyncio.run(ask())
        except aiohttp.ClientConnectorError as error:
            raise click.ClickException(
                f"nothing answers at {self.url} ({reason_of(error)}). Is the balancer "
                "running? Use `--admin` or PENSTOCK_ADMIN if its admin address is a different one."
            ) from error
        except aiohttp.InvalidURL as error:
            raise click.ClickException(f"--admin {self.url!r} is not a URL") from error
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            timed_out = isinstance(error, TimeoutError)
            reason = f"no answer within {_TIMEOUT_S:g} s" if timed_out else reason_of(error)
            raise click.ClickException(f"{self.url}: {reason}") from error
        return self._answer(status, text)

    def _answer(self, status: int, text: bytes) -> dict[str, Any]:
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
