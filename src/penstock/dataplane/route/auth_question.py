"""What a route's ``forward_auth`` asks about a request, before anything else is done with it.

As Traefik's ForwardAuth and nginx's ``auth_request`` do: a GET with the request's own head, its
method and target in ``X-Forwarded-Method`` and ``X-Forwarded-Uri``, to a service that says yes
(2xx), or what the client is to be told instead.
"""

from hashlib import sha256
from typing import Final

from penstock.core.request import Request
from penstock.core.route import RouteFacts
from penstock.core.snapshot import ForwardAuth
from penstock.dataplane.pool.live_pool import LivePool
from penstock.dataplane.route.plan import PoolPlan
from penstock.dataplane.route.target import Target
from penstock.wire.forwarding import Edit, Hop, ResponseRules
from penstock.wire.http1 import Field, RequestHead

_OF_BODY: Final = frozenset(
    (b"content-length", b"content-type", b"content-encoding", b"expect", b"transfer-encoding")
)
_UPGRADES: Final = frozenset((b"upgrade", b"sec-websocket-key", b"sec-websocket-extensions"))
_METHOD: Final = b"X-Forwarded-Method"
_URI: Final = b"X-Forwarded-Uri"


class AuthQuestion:
    """Of one head. Requests with the same ``digest`` are answered alike, where that is kept."""

    def __init__(
        self,
        spec: ForwardAuth,
        pool: LivePool,
        head: RequestHead,
        facts: RouteFacts,
        hop: Hop,
    ) -> None:
        self.spec: ForwardAuth = spec
        self.head: RequestHead = _without_body(head, spec.path.encode("latin-1"))
        edits: list[Edit] = [
            ("set", _METHOD, _METHOD.lower(), head.method),
            ("set", _URI, _URI.lower(), head.target),
        ]
        target = Target(pool, 1.0, edits + pool.request_edits, ResponseRules(b"", []))
        request = Request(method="GET", host=facts.host, path=spec.path, source=facts.source)
        self.plan: PoolPlan = PoolPlan(target, request, self.head, self.head.target, hop)
        hashed = sha256(b"%b %b %b\0" % (head.method, head.host, head.target))
        hashed.update(facts.source.encode())
        for lower, _, value in head.fields:
            hashed.update(b"\0%b:%b" % (lower, value))
        self.digest: bytes = hashed.digest()
        # What the service tells of the client, nobody else can.
        self.taken_out: list[Edit] = [
            ("remove", name.encode(), name.lower().encode(), b"") for name in _told_names(spec)
        ]
        self._passed: frozenset[bytes] = frozenset([each[2] for each in self.taken_out])

    def passed(self, fields: list[Field]) -> list[Field]:
        """Those of the service's answer that go to the endpoint."""
        return [field for field in fields if field[0] in self._passed]


def _told_names(spec: ForwardAuth) -> list[str]:
    return [*spec.pass_headers, *[name for name in (spec.tenant_header, spec.user_header) if name]]


def _without_body(head: RequestHead, target: bytes) -> RequestHead:
    asked = RequestHead(head.raw, b"GET", target, head.minor)
    asked.version = head.version
    asked.host = head.host
    asked.connection = head.connection
    left_out = _OF_BODY | _UPGRADES
    asked.fields = [field for field in head.fields if field[0] not in left_out]
    return asked
