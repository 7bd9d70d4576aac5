"""A collector of OpenTelemetry, spoken to over OTLP/HTTP."""

import asyncio
import ssl
from pathlib import Path
from typing import Final

import aiohttp

from penstock import __version__

_TIMEOUT_S: Final = 10.0
_MOST_ANSWER_BYTES: Final = 65_536
# OTLP: the same may be sent once more; whatever else fails would fail again.
_RETRYABLE: Final = (429, 502, 503, 504)


class CollectorError(Exception):
    """It did not take what was sent. The text is for people."""

    def __init__(self, text: str, again: bool) -> None:
        """``again``: whether it may be taken later."""
        super().__init__(text)
        self.again = again


class Collector:
    """One connection at most is open to it."""

    def __init__(self, content_type: str) -> None:
        self._content_type = content_type
        self._session: aiohttp.ClientSession | None = None

    async def post(self, url: str, body: bytes, headers_file: str, encoding: str = "") -> bytes:
        """The body of its 200. ``encoding`` of the content. Raises CollectorError."""
        try:
            headers = await asyncio.to_thread(headers_of, headers_file)
            if encoding:
                headers["Content-Encoding"] = encoding
            async with (
                asyncio.timeout(_TIMEOUT_S),
                self._opened().post(
                    url, data=body, headers=headers, allow_redirects=False
                ) as answer,
            ):
                said = await answer.content.read(_MOST_ANSWER_BYTES)
        except TimeoutError:
            raise CollectorError(f"no answer within {_TIMEOUT_S:g} s", True) from None
        except (OSError, aiohttp.ClientError, ValueError) as error:
            raise CollectorError(str(error) or type(error).__name__, True) from error
        if answer.status != 200:
            raise CollectorError(f"it answers {answer.status}", answer.status in _RETRYABLE)
        return said

    async def close(self) -> None:
        """Close what is open."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=ssl.create_default_context(), limit=1),
                headers={
                    "User-Agent": f"penstock/{__version__}",
                    "Content-Type": self._content_type,
                },
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),
                trust_env=False,
            )
        return self._session


def headers_of(file: str) -> dict[str, str]:
    """``Name: value`` a line, read anew each time. Raises OSError and ValueError."""
    headers: dict[str, str] = {}
    if not file:
        return headers
    lines = Path(file).read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise ValueError(f"{file}, line {number}: write `Name: value`")
        headers[name.strip()] = value.strip()
    return headers
