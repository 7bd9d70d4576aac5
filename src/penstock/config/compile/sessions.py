"""From the document to the snapshot: sticky sessions."""

from collections.abc import Iterable, Mapping
from itertools import combinations
from urllib.parse import quote

from penstock.config.document.section import plain
from penstock.config.document.sessions import Sticky
from penstock.config.load.errors import Location
from penstock.config.load.findings import Findings
from penstock.core import snapshot


def compile_sticky(sticky: Sticky, pool: str, at: Location, findings: Findings) -> snapshot.Sticky:
    """As the snapshot has it, for the pool of that name."""
    # Pool names may hold characters that names of cookies may not (RFC 9110, 5.6.2).
    cookie = sticky.cookie or f"penstock-{quote(pool, safe='')}"
    keys = findings.secrets(at, sticky.keys, sticky.keys_file)
    return plain(snapshot.Sticky, sticky, cookie=cookie, keys=keys)


def doubt_shared_cookies(
    pools: Mapping[str, snapshot.Pool], routes: Iterable[snapshot.Route], findings: Findings
) -> None:
    """Browsers keep one cookie for a host, path and name (RFC 6265, 5.3): of two pools that set the
    same one, each takes the other's clients away from their endpoints."""
    hosts: dict[str, list[str]] = {}
    for route in routes:
        for each in route.pools:
            hosts.setdefault(each.pool, []).extend(route.match.hosts or ("*",))
    sticky = [(name, pool.sticky) for name, pool in pools.items() if pool.sticky is not None]
    for (first, one), (second, other) in combinations(sticky, 2):
        if (one.cookie, one.path) != (other.cookie, other.path):
            continue
        shared = _shared_host(hosts.get(first, ()), hosts.get(second, ()))
        if shared:
            findings.doubtful(
                ("pools", second, "sticky"),
                f"the pool {first!r} sets a cookie {one.cookie!r} with the path {one.path} for "
                f"{shared} too: each overwrites the other's, and clients change endpoints. Give "
                "them names of their own",
            )


def _shared_host(ones: Iterable[str], others: Iterable[str]) -> str:
    """A host, for people, that both sets of patterns hold; empty where there is none."""
    for one in ones:
        for other in others:
            if one == other or other == "*" or (other.startswith("*.") and one.endswith(other[1:])):
                return "every host" if one == "*" else one
            if one == "*" or (one.startswith("*.") and other.endswith(one[1:])):
                return other
    return ""
