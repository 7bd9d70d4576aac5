"""The endpoints that a planner counts, and which of them is to go first."""

from typing import Final

STARTING: Final = 0  # asked for, not healthy yet
SERVING: Final = 1
DRAINING: Final = 2  # to be stopped once its streams have ended
DOWN: Final = 3  # there, and of no use


class Member:
    """An endpoint as a planner sees it."""

    def __init__(
        self,
        name: str,
        state: int,
        *,
        since: float = 0.0,
        streams: int = 0,
        cached_tokens: int = 0,
        removable: bool = True,
        turn: int = 0,
    ) -> None:
        self.name: str = name
        self.state: int = state
        self.since: float = since  # when it came to be, on the planner's clock
        self.streams: int = streams  # requests in flight there
        self.cached_tokens: int = cached_tokens
        self.removable: bool = removable  # by the actuator
        # Of those that an actuator can only remove in an order of its own: the least goes first.
        self.turn: int = turn

    def counts(self) -> bool:
        """Whether it does work, or is about to."""
        return self.state == STARTING or self.state == SERVING


def first_to_go(members: list[Member], count: int) -> list[Member]:
    """Whom to remove, at most ``count``: those whose loss costs least.

    One that is down serves nobody, one that starts nobody yet; then the fewest streams, the coldest
    cache, and the youngest. Where the actuator keeps an order that comes before all: whom it will
    remove is who is to be drained.
    """
    able = [each for each in members if each.removable and each.state != DRAINING]
    able.sort(key=_cost)
    return able[:count]


def _cost(member: Member) -> tuple[int, int, int, int, float, str]:
    if member.state == DOWN:
        idle = 0
    elif member.state == STARTING:
        idle = 1
    else:
        idle = 2
    return (
        member.turn,
        idle,
        member.streams,
        member.cached_tokens,
        -member.since,
        member.name,
    )
