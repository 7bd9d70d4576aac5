"""Why a connection failed is said as people say it, whoever met it."""

import errno
import os
import socket
import ssl

import aiohttp
import pytest

from penstock._reasons import reason_of
from tests.harness.endpoint import EndpointConnection, ScriptedEndpoint, refuse_connections


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('::1', 1, 0, 0)"),
         "connection refused"),
        (ConnectionResetError(errno.ECONNRESET, "x"), "connection reset"),
        (ConnectionResetError(), "connection reset"),
        (OSError(errno.EADDRNOTAVAIL, "Connect call failed ('::1', 1)"),
         os.strerror(errno.EADDRNOTAVAIL)),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
         "Name or service not known"),
        (OSError("engine.internal has no address"), "engine.internal has no address"),
        (aiohttp.ServerDisconnectedError(), "Server disconnected"),
        (ValueError(), "ValueError"),
    ],
    ids=str,
)  # fmt: skip
def test_reasons_are_in_few_words(error: Exception, reason: str) -> None:
    assert reason_of(error) == reason


async def failure_of(url: str) -> Exception:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientError) as failed:
            await session.get(url)
    return failed.value


async def test_nobody_hears_of_tls_where_there_is_none() -> None:
    with refuse_connections() as nobody:
        error = await failure_of(f"http://127.0.0.1:{nobody.getsockname()[1]}")
    assert "ssl" in str(error), "or it needs no reason_of"
    assert reason_of(error) == "connection refused"


async def test_a_server_without_tls_is_said_to_be_one() -> None:
    def complain(connection: EndpointConnection) -> None:
        connection.receive_bytes(5)
        connection.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with ScriptedEndpoint(complain) as plain:
        error = await failure_of(f"https://127.0.0.1:{plain.port}")
    assert reason_of(error) == "TLS: the server does not speak TLS on this port"


def test_a_certificate_that_does_not_fit_says_how() -> None:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "certificate has expired"
    assert reason_of(error) == "TLS: certificate verify failed: certificate has expired"
