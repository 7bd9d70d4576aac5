"""`auth_basic` and `auth_request`: passwords, and a service that is asked first."""

import re
from typing import Any, Final

from penstock.config.convert.conditions import Action, InexpressibleError
from penstock.config.convert.nginx.context import Chain, Conversion
from penstock.config.convert.nginx.listening import nearest_value
from penstock.config.convert.nginx.reader import Directive
from penstock.config.convert.nginx.upstreams import address_in, pool_for

# The service learns of them as it is asked here, or needs them not.
_TOLD: Final = frozenset(
    ("host", "connection", "content-length", "content-type", "x-real-ip", "upgrade")
)
_ORIGINAL: Final = (
    "x-original-uri",
    "x-original-url",
    "x-original-method",
    "x-auth-request-redirect",
)


def ask(
    conversion: Conversion, upstreams: dict[str, Directive], chain: Chain, action: Action
) -> dict[str, str]:
    """Ask who comes, as the block does; returns which header of the service's answer each variable
    is. Beside `satisfy any` all is left to be told."""
    if nearest_value(chain, "satisfy") == "any":
        return {}
    _ask_passwords(conversion, chain, action)
    uri = nearest_value(chain, "auth_request")
    if uri in ("", "off"):
        return {}
    asked = next(
        found for block in reversed(chain) if (found := block.last("auth_request")) is not None
    )
    try:
        if "basic_auth" in action:
            raise InexpressibleError("a route asks for passwords or a service, not for both")
        action["forward_auth"] = _service(conversion, upstreams, chain, uri)
    except InexpressibleError as error:
        conversion.leave(asked, str(error), "access")
        return {}
    conversion.nearest(chain, "auth_request")
    return _headers_of_answer(conversion, chain, action["forward_auth"])


def _ask_passwords(conversion: Conversion, chain: Chain, action: Action) -> None:
    """`auth_basic` with its file."""
    realm, file = nearest_value(chain, "auth_basic"), nearest_value(chain, "auth_basic_user_file")
    if realm in ("", "off") or not file or "$" in realm + file:
        return
    conversion.nearest(chain, "auth_basic")
    conversion.nearest(chain, "auth_basic_user_file")
    action["basic_auth"] = {"file": file, "realm": realm}


def _service(
    conversion: Conversion, upstreams: dict[str, Directive], chain: Chain, uri: str
) -> dict[str, Any]:
    """What is asked there. Raises InexpressibleError."""
    http, server = chain[0], chain[1]
    location = next((each for each in server.of("location") if each.args[-1] == uri), None)
    if "$" in uri or location is None or location.args[0] in ("~", "~*"):
        raise InexpressibleError(f"no location is called {uri!r} outright")
    proxied = location.last("proxy_pass")
    if proxied is None:
        raise InexpressibleError(f"{uri} is not proxied to a service")
    scheme, authority, path = address_in(proxied)
    if "$" in authority + path or scheme not in ("http", "https"):
        raise InexpressibleError("where the service is, is known only when a request comes")
    if "?" in path:
        raise InexpressibleError("the service is asked by a path without a query")
    for each in location.of("proxy_set_header"):
        _tell_header(conversion, each)
    pool = pool_for(conversion, upstreams, (http, server, location), authority, scheme)
    return {"pool": pool, "path": path or uri}


def _tell_header(conversion: Conversion, directive: Directive) -> None:
    name = directive.args[0].lower()
    if name in _ORIGINAL:
        conversion.leave(directive, "the service reads X-Forwarded-Uri and X-Forwarded-Method")
    elif name not in _TOLD and not name.startswith("x-forwarded-"):
        conversion.leave(directive, "the service gets the head of the client's request")


def _headers_of_answer(
    conversion: Conversion, chain: Chain, asked: dict[str, Any]
) -> dict[str, str]:
    """By variable, those of which `auth_request_set` makes one."""
    found: dict[str, str] = {}
    for each in conversion.nearest(chain, "auth_request_set"):
        header = re.fullmatch(r"\$upstream_http_(\w+)", each.args[1])
        if header is None:
            conversion.leave(each, "headers of the service's answer alone are passed on")
        else:
            found[each.args[0]] = header[1].replace("_", "-")
    nearest = next((each for each in reversed(chain) if each.of("proxy_set_header")), None)
    lines = nearest.of("proxy_set_header") if nearest is not None else []
    sent = {each.args[0].lower(): each.args[-1] for each in lines}
    passed = [name for variable, name in found.items() if sent.get(name) == variable]
    if passed:
        asked["pass_headers"] = passed
    return found
