"""The cookie that binds a client to an endpoint of a pool, as it is sent and understood."""

from penstock.core import snapshot
from penstock.core.pool.sticky import StickyCookies


class SessionCookie:
    """Of one pool, by its ``sticky`` settings."""

    def __init__(self, pool: snapshot.Pool, spec: snapshot.Sticky) -> None:
        """Raises ValueError without a key."""
        self._name: str = spec.cookie
        self._attributes: str = _attributes(spec)
        self.values: StickyCookies = StickyCookies(pool.name, spec.keys)
        self.replace_endpoints(pool)

    def replace_endpoints(self, pool: snapshot.Pool) -> None:
        """The pool's members are those of this snapshot."""
        self.values.replace_endpoints([endpoint.name for endpoint in pool.endpoints])

    def endpoint_of(self, value: str) -> str:
        """The member that a cookie's value names; empty where it names none."""
        return self.values.endpoint_of(value) if value else ""

    def binding(self, endpoint: str, sent: str) -> bytes:
        """The Set-Cookie that binds a client to the member of that name; b"" when the cookie that
        it sent does already."""
        value = self.values.value_for(endpoint)
        if value == sent:
            return b""
        return f"{self._name}={value}{self._attributes}".encode()


def _attributes(spec: snapshot.Sticky) -> str:
    """What stands behind the value."""
    attributes = f"; Path={spec.path}"
    if spec.ttl_s > 0.0:
        attributes += f"; Max-Age={int(spec.ttl_s)}"
    if spec.same_site:
        attributes += f"; SameSite={spec.same_site}"
    if spec.secure:
        attributes += "; Secure"
    if spec.http_only:
        attributes += "; HttpOnly"
    return attributes
