"""What a snapshot says of heads, as the codec applies it."""

from penstock.core import snapshot
from penstock.wire.forwarding import Edit


def edits_of(edits: tuple[snapshot.HeaderEdit, ...]) -> list[Edit]:
    """Header edits as the codec applies them."""
    return [
        (e.operation, e.name.encode("latin-1"), e.name.lower().encode("latin-1"), e.value.encode())
        for e in edits
    ]
