"""Who may use the admin address.

Where a token is configured, callers show it. Where none is, only this machine reaches the address,
and what remains is a browser on it that shows a hostile page: such a page can have its own name
resolve to 127.0.0.1 (DNS rebinding), so names other than this machine's are refused, and it can
post forms across origins, so commands must come as JSON and not from another origin.
"""

import hmac
import ipaddress
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

_OPEN: Final = frozenset({"/healthz", "/readyz"})  # probes rarely can show a token
_LOCAL_NAMES: Final = frozenset({"localhost", "ip6-localhost", "ip6-loopback"})
_JSON: Final = "application/json"
_SAFE: Final = frozenset({hdrs.METH_GET, hdrs.METH_HEAD})


def shows_token(request: web.Request, token: str) -> bool:
    """Whether the request has ``Authorization: Bearer`` with the token; takes constant time."""
    scheme, _, shown = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    matches = hmac.compare_digest(shown.strip().encode(), token.encode())
    return scheme.lower() == "bearer" and matches


def names_this_machine(host: str) -> bool:
    """Whether a Host header is an address or a name that no DNS server answers for."""
    name = urlsplit(f"//{host}").hostname or ""
    if name in _LOCAL_NAMES or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def guard(
    token: str | None, read_token: str | None = None, dataless: Collection[str] = ()
) -> Middleware:
    """The middleware that refuses everyone else.

    Who shows the ``read_token`` may look, and change nothing. ``dataless`` are paths of files that
    say nothing about this balancer: they need no token.
    """

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        may_change = True
        if request.path not in _OPEN:
            if token is None:
                if not names_this_machine(request.host):
                    return refused(403, f"{request.host!r} is not a name of this machine")
            elif request.path not in dataless and not shows_token(request, token):
                if read_token is None or not shows_token(request, read_token):
                    return _refused_token()
                may_change = False
        if request.method not in _SAFE:
            if not may_change:
                return refused(403, "the read token may look, and change nothing")
            origin = request.headers.get(hdrs.ORIGIN)
            if origin is not None and urlsplit(origin).netloc != request.host:
                return refused(403, f"commands are not taken from the web page {origin}")
            if request.content_type != _JSON:
                return refused(415, f"commands are JSON: send Content-Type: {_JSON}")
        return await handler(request)

    return check


def refused(status: int, reason: str) -> web.Response:
    """A refusal with its reason."""
    return web.json_response({"error": reason}, status=status)


def _refused_token() -> web.Response:
    answer = refused(401, "show the admin token: Authorization: Bearer …")
    answer.headers[hdrs.WWW_AUTHENTICATE] = 'Bearer realm="penstock"'
    return answer
