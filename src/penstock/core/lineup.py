"""What is kept beside a list of endpoints, so that nothing is looked up for each of them."""

from mypy_extensions import i64

from penstock.core.endpoint import Endpoint


def is_lineup(known: list[Endpoint], endpoints: list[Endpoint]) -> bool:
    """Whether these are the same endpoints in the same order.

    By each of them, as a list that is the same object may have been changed; still a twentieth of
    what looking each up in a dictionary costs.
    """
    count: i64 = len(known)
    if count != len(endpoints):
        return False
    for index in range(count):  # noqa: SIM110  # a generator is slow, compiled
        if known[index] is not endpoints[index]:
            return False
    return True
