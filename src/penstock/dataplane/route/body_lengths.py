"""Whether a configuration looks at how long a request's body is said to be."""

from collections.abc import Sequence
from typing import Final

from penstock.core.snapshot import Pool, Snapshot

_NAME: Final = "content-length"


def heeds_length(spec: Snapshot, pools: Sequence[Pool]) -> bool:
    """Whether any route is matched by that field, or any pool told something by it."""
    for route in spec.routes:
        for match in route.match.headers:
            if match.name.lower() == _NAME:
                return True
    for pool in pools:
        names = [*pool.hash_key.names, pool.admission.priority_header]
        if pool.first_token_header is not None:
            names.append(pool.first_token_header.name)
        if _NAME in [name.lower() for name in names]:
            return True
    return False
