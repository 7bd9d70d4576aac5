"""A request's way to one pool: what it is hashed by there, and whom it is bound to."""

from urllib.parse import parse_qsl

import xxhash

from penstock.core import snapshot
from penstock.core.request import Request
from penstock.core.route import RouteFacts
from penstock.dataplane.route.access import Access
from penstock.dataplane.route.plan import PoolPlan
from penstock.dataplane.route.target import Target
from penstock.wire.api_paths import answer_in
from penstock.wire.forwarding import Hop
from penstock.wire.http1 import RequestHead
from penstock.wire.kept_things import thing_in
from penstock.wire.session_keys import session_hash, session_in
from penstock.wire.target_path import decoded_path


def pool_plan_of(
    destination: Target,
    request: Request,
    head: RequestHead,
    facts: RouteFacts,
    target: str,
    hop: Hop,
    access: Access | None = None,
) -> PoolPlan:
    """What the head decides about a request's way to one pool."""
    pool = destination.pool
    if pool.key or pool.learning is not None:
        named = _configured_key(pool.spec.hash_key, head, facts)
        key = request.source.encode()
        if pool.key == "configured" and named is not None:
            key = named
        session = 0
        if named is not None and pool.spec.hash_key.kind != "path":
            session = session_hash(named)  # what a person named goes before what is customary
        request = Request(
            method=request.method,
            host=request.host,
            path=request.path,
            source=request.source,
            key_hash=xxhash.xxh3_64_intdigest(key) if pool.key else 0,
            session_hash=session or session_in(head.fields),
            continues=_kept(request, head) if pool.learning is not None else 0,
            # What is not understood of a language model's may take as long as its whole answer.
            streams=pool.learning is None,
            caller=request.caller,
        )
    plan = PoolPlan(destination, request, head, target.encode("latin-1"), hop, access)
    if pool.sticky is not None and pool.spec.sticky is not None:
        plan.cookie = cookie_value(head, pool.spec.sticky.cookie) or ""
        plan.home = pool.named_by(plan.cookie)
    return plan


def _kept(request: Request, head: RequestHead) -> int:
    """The hash of the answer, file or other thing that a request is about; else 0."""
    path = decoded_path(request.path.encode("latin-1"))
    return answer_in(path) or thing_in(path + b"?" + head.target.partition(b"?")[2])


def _configured_key(spec: snapshot.HashKey, head: RequestHead, facts: RouteFacts) -> bytes | None:
    """What the pool is to hash by; None: the request lacks it, or it is the client's address.

    Empty is absent: else all who have nothing to say would be one.
    """
    if spec.kind == "path":
        return facts.path.encode("latin-1")
    if spec.kind == "header":
        for name in spec.names:
            wanted = name.lower().encode("latin-1")
            for lower, _, value in head.fields:
                if lower == wanted and value:
                    return value
        return None
    found: str | None = None
    if spec.kind == "cookie":
        found = cookie_value(head, spec.names[0])
    elif spec.kind == "query":
        query = head.target.decode("latin-1").partition("?")[2]
        found = dict(parse_qsl(query)).get(spec.names[0])
    return found.encode() if found else None


def cookie_value(head: RequestHead, name: str) -> str | None:
    """A cookie's value by its name; the first one wins."""
    for lower, _, value in head.fields:
        if lower == b"cookie":
            for pair in value.decode("latin-1").split(";"):
                key, _, content = pair.strip().partition("=")
                if key == name:
                    return content
    return None
