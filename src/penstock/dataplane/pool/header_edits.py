"""What a snapshot says of heads, as the codec applies it."""

from penstock.core import snapshot
from penstock.wire.forwarding import Edit


def cookie_attributes(spec: snapshot.Sticky) -> str:
    """What stands behind the value of a sticky cookie."""
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


def edits_of(edits: tuple[snapshot.HeaderEdit, ...]) -> list[Edit]:
    """Header edits as the codec applies them."""
    return [
        (e.operation, e.name.encode("latin-1"), e.name.lower().encode("latin-1"), e.value.encode())
        for e in edits
    ]
