"""Which engine answers somewhere, and what it serves: asked once, before there is a balancer."""

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import aiohttp
from msgspec.structs import replace as changed

from penstock._reasons import reason_of
from penstock.control.endpoint_contexts import EndpointContexts
from penstock.control.engines.client import EngineClient, EngineTarget, UnreachableError
from penstock.control.engines.model_lists import PATH, models_of
from penstock.core.snapshot import Endpoint, EndpointTls, Engine
from penstock.core.snapshot.address import shown_address
from penstock.wire.engines.dialect import EngineDialect
from penstock.wire.engines.reading import UnreadableError
from penstock.wire.engines.recognition import places, recognised

# Where engines listen unless they are told otherwise.
USUAL_PORTS: Final = {
    8000: "vLLM, TensorRT-LLM, Triton",
    30000: "SGLang",
    8080: "llama.cpp",
    11434: "Ollama",
    3000: "TGI",
    9001: "penstock emulate",
    9002: "penstock emulate",
    9003: "penstock emulate",
    9004: "penstock emulate",
}
_TIMEOUT_S: Final = 1.0  # of one question
_HEALTH_PATHS: Final = ("/health", "/healthz")
_AT_ONCE: Final = 16


@dataclass(frozen=True)
class Found:
    """What is at an endpoint. ``engine`` is a dialect's title, empty where none is known.

    ``problem`` says why nothing could be asked there; ``health`` is a path that answers 200, or
    empty.
    """

    url: str
    engine: str = ""
    models: tuple[str, ...] = ()
    health: str = ""
    problem: str = ""
    is_proxy: bool = False  # answers carry `Via`: what is recognised stands behind it

    @property
    def serves_models(self) -> bool:
        """Whether a language model is served there."""
        return bool(self.engine or self.models)


async def look_at_usual_ports(
    ports: Sequence[int] = tuple(USUAL_PORTS), host: str = "127.0.0.1"
) -> list[Found]:
    """The engines of this machine, by port. Proxies, Penstock's own listeners too, are left out."""
    found = await look_at([f"http://{shown_address(host, port)}" for port in ports])
    return [each for each in found if each.serves_models and not each.is_proxy]


async def look_at(urls: Sequence[str]) -> list[Found]:
    """What is at each of them, in their order. Raises ValueError for what is no endpoint's URL."""
    endpoints = [_endpoint(url) for url in urls]
    turns = asyncio.Semaphore(_AT_ONCE)
    contexts = EndpointContexts()
    client = EngineClient(contexts)

    async def look(url: str, endpoint: Endpoint | None) -> Found:
        if endpoint is None:
            return Found(url)  # not HTTP: nothing to ask
        async with turns:
            try:
                return await _look(client, url, await addressed(endpoint))
            except (OSError, UnreachableError) as error:
                return Found(url, problem=reason_of(error))

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(look(url, endpoint))
                for url, endpoint in zip(urls, endpoints, strict=True)
            ]
        return [task.result() for task in tasks]
    finally:
        await client.close()


async def addressed(endpoint: Endpoint) -> Endpoint:
    """The endpoint with the addresses of its name. Raises OSError where it has none."""
    if endpoint.host.startswith("unix:"):
        return endpoint
    answers = await asyncio.get_running_loop().getaddrinfo(
        endpoint.host, endpoint.port, type=socket.SOCK_STREAM
    )
    return changed(endpoint, addresses=tuple(dict.fromkeys(str(each[4][0]) for each in answers)))


async def recognise(client: EngineClient, target: EngineTarget) -> EngineDialect | None:
    """The engine there; None where it is none that is known. Raises UnreachableError."""
    answered = False
    unreachable: UnreachableError | None = None
    for place in places():
        if place.port:  # what is found at an engine's own port may be another endpoint's
            continue
        try:
            body = await client.get(target, place.path)
            answered = True
            if place.dialect is not None:
                place.dialect.read(body)
                return place.dialect
            dialect = recognised(body)
            if dialect is not None:
                return dialect
        except UnreachableError as error:
            unreachable = error
            if not answered:
                break
        except UnreadableError:
            answered = True
    if unreachable is not None and not answered:
        raise unreachable
    return None


async def listed_models(client: EngineClient, target: EngineTarget) -> tuple[str, ...]:
    """The names that it lists at /v1/models; none where it lists none."""
    try:
        return tuple(each.id for each in models_of(await client.get(target, PATH)) or ())
    except UnreadableError:
        return ()


async def _look(client: EngineClient, url: str, endpoint: Endpoint) -> Found:
    target = EngineTarget("", endpoint, Engine(timeout_s=_TIMEOUT_S), EndpointTls())
    dialect = await recognise(client, target)
    engine = dialect.title.partition(" (")[0] if dialect else ""  # without what turns metrics on
    found = Found(url, engine, await listed_models(client, target))
    for path in _HEALTH_PATHS:
        try:
            await client.get(target, path)
        except UnreadableError:
            continue
        found = replace(found, health=path)
        break
    return replace(found, is_proxy=found.serves_models and await _has_via(url))


async def _has_via(url: str) -> bool:
    """By a path that is forwarded: lists of models Penstock makes itself."""
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(url.rstrip("/") + _HEALTH_PATHS[0], allow_redirects=False) as response,
        ):
            return "Via" in response.headers
    except (OSError, aiohttp.ClientError, ValueError):
        return False


def _endpoint(url: str) -> Endpoint | None:
    from penstock.config.document.endpoint_url import parse_endpoint_url

    parsed = parse_endpoint_url(url)
    if parsed.protocol != "http":
        return None
    return Endpoint(
        name=shown_address(parsed.host, parsed.port),
        host=parsed.host,
        port=parsed.port,
        tls=parsed.tls,
        base_path=parsed.base_path,
    )
