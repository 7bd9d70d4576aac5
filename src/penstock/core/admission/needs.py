"""What a request that waits can use, so that those who can use the same wait in one line."""

from collections.abc import Sequence

from penstock.core.endpoint import Endpoint


def needs_of(model: str, tried: Sequence[Endpoint] | None = None, bound_to: str = "") -> str:
    """What a request can use, as its ``Waiter`` has it: a model, not those that were tried, or one
    endpoint that it is bound to."""
    if not tried and not bound_to:
        return model
    names = sorted([endpoint.name for endpoint in tried]) if tried else []
    return "\0".join([model, bound_to, *names])
