"""HTTP as a provider: what servers answer, and what goes wrong."""

import pytest

from penstock.control.discovery.provider import ProviderError
from penstock.control.discovery.providers.http import HttpProvider
from penstock.core.snapshot.discovery import Found, HttpDiscovery
from tests.harness.http_endpoint import Answer, HttpEndpoint

LIST = b'[{"targets": ["10.0.0.1:80"], "labels": {"penstock_zone": "a"}}]'


async def look(url: str, **settings: object) -> tuple[Found, ...]:
    asking = HttpProvider(HttpDiscovery(url, **settings))  # type: ignore[arg-type]
    try:
        return (await asking.look()).found
    finally:
        await asking.close()


async def test_a_server_lists_endpoints() -> None:
    with HttpEndpoint(lambda _: Answer(body=LIST)) as server:
        found = await look(
            f"http://localhost:{server.port}/targets?x=1", headers=(("Authorization", "Bearer x"),)
        )
        assert found == (Found("10.0.0.1", 80, zone="a"),)
        assert server.last.target == "/targets?x=1"
        assert server.last.headers.all("authorization") == ["Bearer x"]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (Answer(status=500), "/x answers 500"),
        (Answer(status=302, headers=(("Location", "/y"),)), "/x answers 302"),
        (Answer(body=b"no list"), "/x:1: `endpoints:` and a list is needed"),
        (Answer(body=b" " * (9 << 20)), "/x answers more than 8 MiB"),
    ],
)
async def test_what_cannot_be_used_is_told(answer: Answer, told: str) -> None:
    with (
        HttpEndpoint(lambda _: answer) as server,
        pytest.raises(ProviderError, match=told),
    ):
        await look(f"http://127.0.0.1:{server.port}/x?secret=1")


async def test_nobody_there_is_told() -> None:
    with HttpEndpoint() as server:
        port = server.port
    with pytest.raises(ProviderError, match="connection refused"):
        await look(f"http://127.0.0.1:{port}/")
    with pytest.raises(ProviderError, match="has no address"):
        await look("http://nowhere.invalid/", timeout_s=30.0)
