"""Programs that people use, through ``penstock serve``, to servers that people use."""

import asyncio
import hashlib
import json
import re
import ssl
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import httpx
import openai
import pytest
import trustme
from openai.types.chat import ChatCompletionUserMessageParam

from tests.harness.programs import Balancer, Nginx, Uvicorn, program
from tests.harness.waiting import wait_until

BODY = bytes(range(256)) * 8192  # 2 MiB: curl asks before it sends so much, and no buffer holds it
DIGEST = hashlib.sha256(BODY).hexdigest()
WORDS = "the quick brown fox "
PATIENCE_S = 60.0  # httpx's own 5 s are too few for a hundred connections on a busy machine


@dataclass
class Site:
    """Two uvicorn behind Penstock, and an nginx behind /files."""

    url: str
    tls_url: str
    authority: Path
    servers: list[Uvicorn]

    def left(self) -> int:
        """Streams whose client the servers saw leave."""
        return sum(
            int(httpx.get(f"{each.url}/left", timeout=PATIENCE_S).json()["left"])
            for each in self.servers
        )

    def go_on(self) -> None:
        """Let streams that wait go on."""
        for each in self.servers:
            httpx.post(f"{each.url}/go", timeout=PATIENCE_S)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("site")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(directory / "authority.pem")
    issued = authority.issue_cert("localhost", "127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(directory / "certificate.pem")
    issued.private_key_pem.write_to_path(directory / "key.pem")
    with ExitStack() as stack:
        servers = [stack.enter_context(Uvicorn(directory, name)) for name in ("one", "two")]
        nginx = stack.enter_context(Nginx(directory))
        (directory / "files" / "large").write_bytes(BODY)
        tls = {
            "certificate": str(directory / "certificate.pem"),
            "key": str(directory / "key.pem"),
        }
        document = {
            "listeners": {
                "clear": {"address": "127.0.0.1:0"},
                "secure": {"address": "127.0.0.1:0", "tls": tls},
            },
            "pools": {"inference": {"endpoints": [each.url for each in servers]},
                      "files": {"endpoints": [nginx.url]}},
            "routes": [
                {"match": {"path_prefix": "/files"}, "pool": "files"},
                {"pool": "inference"},
            ],
            "admin": "off",
            "workers": 2,
        }  # fmt: skip
        balancer = stack.enter_context(Balancer(directory, document))
        urls = {url.partition(":")[0]: url for url in balancer.urls}
        yield Site(urls["http"], urls["https"], directory / "authority.pem", servers)


@pytest.fixture
async def http(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    """An httpx client with keep-alive."""
    async with httpx.AsyncClient(base_url=site.url, timeout=PATIENCE_S) as client:
        yield client


@pytest.fixture
async def sdk(site: Site) -> AsyncIterator[openai.AsyncOpenAI]:
    """The openai SDK, which is told not to hide a failure by trying again."""
    async with openai.AsyncOpenAI(
        base_url=f"{site.url}/v1", api_key="sk-none", max_retries=0
    ) as client:
        yield client


def curl(*arguments: str) -> bytes:
    """What curl prints; a status of 400 or more fails the test."""
    command = [program("curl"), "-sS", "--fail", "--max-time", "20", *arguments]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, f"curl: {done.stderr.decode()}"
    return done.stdout


def say(text: str) -> list[ChatCompletionUserMessageParam]:
    return [{"role": "user", "content": text}]


def test_curl_sends_a_large_body_after_asking_and_it_arrives_whole(
    site: Site, tmp_path: Path
) -> None:
    (tmp_path / "body").write_bytes(BODY)

    seen = json.loads(curl("--data-binary", f"@{tmp_path / 'body'}", f"{site.url}/upload"))

    assert (seen["method"], seen["bytes"], seen["sha256"]) == ("POST", len(BODY), DIGEST)


def test_curl_sends_a_body_of_unknown_length_and_it_arrives_whole(
    site: Site, tmp_path: Path
) -> None:
    (tmp_path / "body").write_bytes(BODY)
    chunked = ("-H", "Transfer-Encoding: chunked", "-T", str(tmp_path / "body"))

    seen = json.loads(curl(*chunked, f"{site.url}/upload"))

    assert (seen["method"], seen["bytes"], seen["sha256"]) == ("PUT", len(BODY), DIGEST)


def test_curl_gets_a_file_from_nginx_and_its_head_and_a_range(site: Site) -> None:
    url = f"{site.url}/files/large"

    assert curl(url) == BODY
    assert curl("--range", "1000-1999", url) == BODY[1000:2000]
    assert f"content-length: {len(BODY)}" in curl("--head", url).decode().lower()


def test_curl_uses_one_connection_for_several_requests(site: Site) -> None:
    wrote = ("-o", "/dev/null", "-w", "%{http_code} %{num_connects}\n")
    urls = [f"{site.url}/a", f"{site.url}/files/large", f"{site.url}/v1/models"]
    arguments = [argument for url in urls for argument in (*wrote[:2], url)]

    printed = curl(*wrote[2:], *arguments).decode()

    assert printed.split("\n")[:3] == ["200 1", "200 0", "200 0"]


def test_curl_speaks_tls_and_verifies_the_certificate(site: Site) -> None:
    printed = curl(
        *("--cacert", str(site.authority), "-o", "/dev/null"),
        *("-w", "%{http_code} %{ssl_verify_result} %{http_version}", f"{site.tls_url}/files/large"),
    )

    assert printed in (b"200 0 2", b"200 0 1.1")  # as this curl can


async def test_httpx_sends_many_requests_at_once_and_both_servers_answer(
    http: httpx.AsyncClient,
) -> None:
    answers = await asyncio.gather(*[http.get(f"/path-{n}") for n in range(100)])

    assert [answer.json()["path"] for answer in answers] == [f"/path-{n}" for n in range(100)]
    servers = Counter(answer.headers["x-server"] for answer in answers)
    assert set(servers) == {"one", "two"}


async def test_httpx_is_told_to_the_server_as_the_client(http: httpx.AsyncClient) -> None:
    headers = (await http.get("/", headers={"X-Own": "kept"})).json()["headers"]

    assert headers["x-own"] == "kept"
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["x-forwarded-proto"] == "http"
    assert headers["x-request-id"]


async def test_httpx_reads_a_stream_over_tls_line_by_line(site: Site) -> None:
    trusted = ssl.create_default_context(cafile=site.authority)
    request = {"model": "m", "stream": True, "messages": say(WORDS)}
    async with (
        httpx.AsyncClient(base_url=site.tls_url, verify=trusted, timeout=PATIENCE_S) as client,
        client.stream("POST", "/v1/chat/completions", json=request) as response,
    ):
        lines = [line async for line in response.aiter_lines() if line]

    assert len(lines) == len(WORDS.split()) + 1
    assert lines[-1] == "data: [DONE]"


async def test_aiohttp_streams_a_body_up_and_it_arrives_whole(site: Site) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(BODY), 100_000):
            yield BODY[at : at + 100_000]

    async with (
        aiohttp.ClientSession(site.url) as session,
        session.post("/upload", data=pieces()) as response,
    ):
        seen = await response.json()

    assert (seen["bytes"], seen["sha256"]) == (len(BODY), DIGEST)


async def test_aiohttp_downloads_from_nginx_on_many_connections_at_once(site: Site) -> None:
    async with aiohttp.ClientSession(site.url) as session:

        async def download() -> bytes:
            async with session.get("/files/large") as response:
                response.raise_for_status()
                return await response.read()

        bodies = await asyncio.gather(*[download() for _ in range(20)])

    assert all(body == BODY for body in bodies)


async def test_openai_lists_models_and_completes(sdk: openai.AsyncOpenAI) -> None:
    models = await sdk.models.list()
    answer = await sdk.chat.completions.create(model="m", messages=say(WORDS))

    assert [model.id for model in models.data] == ["m"]
    assert answer.choices[0].message.content == WORDS


def test_openai_completes_without_asyncio(site: Site) -> None:
    with openai.OpenAI(base_url=f"{site.url}/v1", api_key="sk-none", max_retries=0) as client:
        answer = client.chat.completions.create(model="m", messages=say(WORDS))
        stream = client.chat.completions.create(model="m", messages=say(WORDS), stream=True)
        words = "".join([part.choices[0].delta.content or "" for part in stream])

    assert answer.choices[0].message.content == words == WORDS


async def test_openai_gets_each_token_as_it_comes(site: Site, sdk: openai.AsyncOpenAI) -> None:
    """The second word is not even made before the first has been read."""
    stream = await sdk.chat.completions.create(model="m", messages=say("wait"), stream=True)
    words = [part.choices[0].delta.content async for part in _first(stream)]
    assert words == ["first "]

    await asyncio.to_thread(site.go_on)
    words += [part.choices[0].delta.content async for part in stream]

    assert words == ["first ", "last"]


async def test_openai_leaving_a_stream_stops_the_server(
    site: Site, sdk: openai.AsyncOpenAI
) -> None:
    before = await asyncio.to_thread(site.left)
    stream = await sdk.chat.completions.create(model="m", messages=say("endless"), stream=True)
    async for _ in _first(stream):
        pass

    await stream.close()

    await asyncio.to_thread(
        wait_until, lambda: site.left() == before + 1, "the server saw the client leave"
    )


def test_wrk_gets_an_answer_to_every_request(site: Site) -> None:
    def some_are_answered() -> bool:
        done = subprocess.run(
            [program("wrk"), "-t1", "-c16", "-d1s", "--timeout", "20s", f"{site.url}/v1/models"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert "Socket errors" not in done.stdout
        assert "Non-2xx" not in done.stdout
        return re.search(r"[1-9]\d* requests in", done.stdout) is not None

    wait_until(some_are_answered, "a second was enough for some")


async def _first(
    stream: openai.AsyncStream[openai.types.chat.ChatCompletionChunk],
) -> AsyncIterator[openai.types.chat.ChatCompletionChunk]:
    """The first part alone; the stream stays open."""
    yield await anext(aiter(stream))
