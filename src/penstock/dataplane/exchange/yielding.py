"""What an answer is asked whose place a more important request may take (``core.admission``)."""

from mypy_extensions import trait


@trait
class Yielding:
    """An answer whose tokens are watched, as its dispatch knows it."""

    def may_yield(self) -> bool:
        """Whether its attempt can be ended and another made later, of which its client sees
        nothing but time."""
        raise NotImplementedError

    def yield_place(self) -> None:
        """End its attempt; what was computed of its prompt is the balancer's own loss."""
        raise NotImplementedError
