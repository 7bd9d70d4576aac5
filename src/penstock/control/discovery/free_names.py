"""Names for endpoints that were found, of which no two in a pool are the same."""

from msgspec.structs import replace

from penstock.core.snapshot import Endpoint
from penstock.core.snapshot.address import shown_address


def free_name(endpoint: Endpoint, used: set[str]) -> str:
    name = endpoint.name
    if name in used:
        name = shown(endpoint)
    number = 2
    while name in used:
        name = f"{shown(endpoint)}~{number}"
        number += 1
    return name


def shown(endpoint: Endpoint) -> str:
    return shown_address(endpoint.host, endpoint.port) + endpoint.base_path


def named(endpoint: Endpoint, name: str) -> Endpoint:
    return endpoint if endpoint.name == name else replace(endpoint, name=name)
