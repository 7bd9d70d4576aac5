"""Engines are asked where their endpoint is connected to, under the name that is configured."""

import ssl
from pathlib import Path

import pytest
import trustme

from penstock.control.endpoint_contexts import EndpointContexts
from penstock.control.engines.client import EngineClient, EngineTarget
from penstock.core.snapshot import Endpoint, EndpointTls, Engine
from penstock.wire.engines.reading import UnreadableError
from tests.harness.endpoint import refuse_connections
from tests.harness.http_endpoint import Answer, HttpEndpoint
from tests.harness.world import Address, HasAddress

NAME = "engine.invalid"  # never has an address of its own (RFC 6761, 6.4)


async def get(place: HasAddress, engine: Engine, tls: EndpointTls | None = None) -> bytes:
    """What the endpoint answers, reached by an address that was found for its name."""
    endpoint = Endpoint("e", NAME, place.port, tls=tls is not None, addresses=("127.0.0.1",))
    client = EngineClient(EndpointContexts())
    try:
        return await client.get(
            EngineTarget("a", endpoint, engine, tls or EndpointTls()), "/metrics"
        )
    finally:
        await client.close()


async def test_a_name_is_not_looked_up_again_but_is_the_host_asked_for(
    endpoint: HttpEndpoint,
) -> None:
    await get(endpoint, Engine(timeout_s=5.0))
    assert endpoint.last.target == "/metrics"
    assert endpoint.last.headers.all("host") == [f"{NAME}:{endpoint.port}"]


async def test_a_configured_host_header_is_sent_as_it_is(endpoint: HttpEndpoint) -> None:
    await get(endpoint, Engine(timeout_s=5.0, headers=(("Host", "metrics.example"),)))
    assert endpoint.last.headers.all("host") == ["metrics.example"]


async def test_the_certificate_is_verified_for_the_name(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    tls = EndpointTls(ca_file=str(tmp_path / "ca.pem"))
    for name in (NAME, "other.invalid"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(context)
        with HttpEndpoint(tls=context) as place:
            if name == NAME:
                await get(place, Engine(timeout_s=5.0), tls)
            else:
                with pytest.raises(UnreadableError, match=NAME):
                    await get(place, Engine(timeout_s=5.0), tls)


async def test_an_engine_that_cannot_be_reached_says_nothing_of_tls_where_there_is_none() -> None:
    with refuse_connections() as nobody:
        place = Address(nobody.getsockname()[1])
        with pytest.raises(UnreadableError) as failed:
            await get(place, Engine(timeout_s=5.0))
    assert str(failed.value) == "/metrics: connection refused"


async def test_where_an_answer_leads_elsewhere_is_told(endpoint: HttpEndpoint) -> None:
    """As from /metrics to /metrics/, which servers built with Starlette do."""
    endpoint.answer = lambda _: Answer(307, headers=(("Location", "http://e/metrics/"),))
    with pytest.raises(UnreadableError, match="answers 307 and redirects to http://e/metrics/"):
        await get(endpoint, Engine(timeout_s=5.0))
