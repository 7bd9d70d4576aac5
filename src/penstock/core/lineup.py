"""What is kept beside a list of endpoints, so that nothing is looked up for each of them."""

from penstock.core.endpoint import Endpoint


def is_lineup(known: list[Endpoint], endpoints: list[Endpoint]) -> bool:
    """Whether these are the same endpoints in the same order.

    By each of them, as a list that is the same object may have been changed. Endpoints are equal
    to themselves alone, so lists compare pointers: a fifth of what a loop of ours costs.
    """
    return known == endpoints
