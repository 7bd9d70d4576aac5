"""Where an engine publishes its KV events, as vLLM reports at ``/kv_event_sources``.

One entry for each rank of data parallelism: ``{"0": {"endpoint": "tcp://*:5557", "replay_endpoint":
"tcp://*:5558", "topic": "kv", …}}``. So engines that share a host need no setting.
"""

from typing import Final
from urllib.parse import urlsplit

import msgspec

from penstock.control.engines.client import (
    EngineClient,
    EngineTarget,
    NotNowError,
    UnreachableError,
)
from penstock.core.snapshot import KvEvents
from penstock.wire.engines.reading import UnreadableError

PATH: Final = "/kv_event_sources"
USUAL_PORT: Final = 5557  # vLLM's and SGLang's


class _Source(msgspec.Struct):
    enable_kv_cache_events: bool = True
    endpoint: str = ""
    replay_endpoint: str | None = None
    topic: str = ""


def source_in(body: bytes) -> KvEvents:
    """The engine's one publisher. Raises UnreadableError, also where there are several."""
    try:
        sources = msgspec.json.decode(body, type=dict[str, _Source])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableError(f"{PATH} cannot be read: {error}") from error
    told = [each for each in sources.values() if each.enable_kv_cache_events and each.endpoint]
    if len(told) != 1:
        raise UnreadableError(
            f"{PATH} tells {len(told)} publishers, and one is followed: each rank has a cache of "
            "its own"
            if told
            else f"{PATH} tells no publisher: the engine's KV events are off"
        )
    source = told[0]
    return KvEvents(
        _port_of(source.endpoint),
        _port_of(source.replay_endpoint) if source.replay_endpoint else 0,
        source.topic,
    )


async def found(client: EngineClient, target: EngineTarget, wanted: KvEvents) -> KvEvents:
    """Where to subscribe: as configured, as the engine reports, or at the usual port.

    Raises UnreadableError where an engine tells what cannot be followed, or is not there yet.
    """
    if wanted.port:
        return wanted
    try:
        body = await client.get(target, PATH)
    except (UnreachableError, NotNowError):
        raise
    except UnreadableError:  # it does not tell: SGLang, and vLLM before 0.32
        source = KvEvents(USUAL_PORT)
    else:
        source = source_in(body)
    return KvEvents(
        source.port, wanted.replay_port or source.replay_port, wanted.topic or source.topic
    )


def _port_of(address: str) -> int:
    """Of ``tcp://HOST:PORT``; the host is the one where the engine is."""
    try:
        parts = urlsplit(address)
        port = parts.port if parts.scheme == "tcp" else None
    except ValueError:
        port = None
    if not port:
        raise UnreadableError(f"{PATH} tells {address!r}, which is no TCP address with a port")
    return port
