"""The fleets: eight engines of a 70B model on two H100 each, alike or not."""

from typing import Final

PROFILE: Final = "llama-70b-h100"
ALIKE: Final = "alike"
ANTAGONISED: Final = "one antagonised"  # an engine is slow that was not set up so

# Of each engine, as a share of the profile's.
SPEEDS: Final[dict[str, tuple[float, ...]]] = {
    ALIKE: (1.0,) * 8,
    "two speeds": (1.0, 0.5) * 4,
    ANTAGONISED: (0.4, *(1.0,) * 7),
}


def share(fleet: str) -> float:
    """Of what engines alike do, how much these do."""
    speeds = SPEEDS[fleet]
    return sum(speeds) / len(speeds)
