"""Programs that speak HTTP/2, through ``penstock serve``, to servers that people use."""

import asyncio
import re
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import trustme

from tests.harness.programs import Balancer, Nginx, program

BODY = bytes(range(256)) * 8192  # 2 MiB, which no buffer holds
PATIENCE_S = 60.0


@dataclass
class Site:
    """An nginx behind Penstock, in the clear and over TLS."""

    url: str
    tls_url: str
    authority: Path


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("site")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(directory / "authority.pem")
    issued = authority.issue_cert("localhost", "127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(directory / "certificate.pem")
    issued.private_key_pem.write_to_path(directory / "key.pem")
    tls = {"certificate": str(directory / "certificate.pem"), "key": str(directory / "key.pem")}
    with ExitStack() as stack:
        nginx = stack.enter_context(Nginx(directory))
        (directory / "files" / "large").write_bytes(BODY)
        (directory / "files" / "small").write_bytes(b"small")
        document = {
            "listeners": {
                "clear": {"address": "127.0.0.1:0"},
                "secure": {"address": "127.0.0.1:0", "tls": tls},
            },
            "pools": {"files": {"endpoints": [nginx.url]}},
            "routes": [{"pool": "files"}],
            "admin": "off",
            "workers": 2,
        }
        balancer = stack.enter_context(Balancer(directory, document))
        urls = {url.partition(":")[0]: url for url in balancer.urls}
        yield Site(urls["http"], urls["https"], directory / "authority.pem")


def run(*command: str) -> bytes:
    """What it prints; an end in failure fails the test."""
    done = subprocess.run(command, capture_output=True, check=False, timeout=PATIENCE_S * 2)
    assert done.returncode == 0, f"{command[0]}: {done.stderr.decode()}{done.stdout[:2000]!r}"
    return done.stdout


def test_curl_fetches_several_files_on_one_connection(site: Site) -> None:
    names = ("small", "large", "small")
    urls = [f"{site.tls_url}/files/{name}" for name in names]
    trusted = ["--cacert", str(site.authority)]
    told = run(program("curl"), "-sS", "--fail", "--max-time", "60", "--http2", *trusted, *urls)
    assert told == b"small" + BODY + b"small"


def test_curl_speaks_it_with_prior_knowledge(site: Site) -> None:
    """One file for each connection: curl 7.88.1, Debian's, fails at a second one there
    (https://github.com/curl/curl/issues/10634)."""
    spoken = [program("curl"), "-sS", "--fail", "--max-time", "60", "--http2-prior-knowledge"]
    assert run(*spoken, f"{site.url}/files/large", "-w", "%{http_version}") == BODY + b"2"


async def test_httpx_agrees_on_it_and_has_many_streams_at_once(site: Site) -> None:
    trusted = ssl.create_default_context(cafile=str(site.authority))
    async with httpx.AsyncClient(http2=True, verify=trusted, timeout=PATIENCE_S) as client:
        first = await client.get(f"{site.tls_url}/files/small")
        assert (first.http_version, first.content) == ("HTTP/2", b"small")
        asked = [client.get(f"{site.tls_url}/files/large") for _ in range(10)]
        assert {(await each).content == BODY for each in asyncio.as_completed(asked)} == {True}


@pytest.mark.parametrize("secure", [False, True])
def test_h2load_sees_all_its_requests_succeed(site: Site, secure: bool) -> None:
    url = site.tls_url if secure else site.url
    told = run(program("h2load"), "-n", "2000", "-c", "8", "-m", "8", f"{url}/files/small").decode()
    assert "2000 total, 2000 started, 2000 done, 2000 succeeded, 0 failed, 0 errored" in told


def test_nghttp_gets_files_by_their_priorities_each_whole(site: Site) -> None:
    names = ["large?1", "small?1", "large?2", "small?2"]
    urls = [f"{site.url}/files/{name}" for name in names]
    told = run(program("nghttp"), "-s", "-n", "-p", "200", "-p", "1", *urls)
    lines = re.findall(r"\b(200)\s+(\d+[MK]?)\s+/files/(\S+)", told.decode())
    assert sorted(name for _, _, name in lines) == sorted(names)


def test_nghttp_may_have_many_streams_and_a_small_window(site: Site) -> None:
    told = run(
        program("nghttp"), "-n", "-s", "-m", "20", "-w", "14", "-W", "15", f"{site.url}/files/large"
    )
    assert told.decode().count("/files/large") == 20
