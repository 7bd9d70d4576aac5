"""Small snapshots for tests of the control plane."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from penstock.core.snapshot import Endpoint, Listener, Pool, Snapshot


def endpoint(name: str, **settings: Any) -> Endpoint:
    made = Endpoint(name=name, host="127.0.0.1", port=9)
    return msgspec.structs.replace(made, **settings)


def pool(name: str, *names: str, **settings: Any) -> Pool:
    made = Pool(name=name, endpoints=tuple(endpoint(each) for each in names))
    return msgspec.structs.replace(made, **settings)


def world(
    pools: Mapping[str, Sequence[str]] | Sequence[Pool] = (),
    *,
    generation: int = 0,
    listeners: Sequence[Listener] = (),
) -> Snapshot:
    """``pools``: names of endpoints by pool, or pools."""
    if isinstance(pools, Mapping):
        pools = [pool(name, *names) for name, names in pools.items()]
    return Snapshot(
        generation=generation, listeners=tuple(listeners), routes=(), pools=tuple(pools)
    )


def listener(name: str = "main", port: int = 0, host: str = "127.0.0.1") -> Listener:
    return Listener(name=name, host=host, port=port)
