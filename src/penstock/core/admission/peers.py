"""Others that let requests in before the same endpoints: the other workers of a pool.

A balancer that is alone has none. Where there are others, each counts its own and reads those of
all; a subclass says where (``dataplane/board/pool_peers.py``).
"""

from mypy_extensions import mypyc_attr


@mypyc_attr(allow_interpreted_subclasses=True)
class Peers:
    """Of one pool, as one of them sees the others."""

    def wait(self, count: int) -> None:
        """So many wait here."""
        raise NotImplementedError

    def waiting(self) -> int:
        """How many wait at the others."""
        raise NotImplementedError

    def run(self, count: int) -> None:
        """So many are under way here, under the pool's limit."""
        raise NotImplementedError

    def running(self) -> int:
        """How many are under way at the others."""
        raise NotImplementedError

    def meet(self) -> None:
        """What was counted here is seen by all others before theirs is read."""
        raise NotImplementedError

    def count(self) -> int:
        """How many others there are: what is read of them without ``meet`` may be so much less than
        there is."""
        raise NotImplementedError

    def learned(self) -> list[float] | None:
        """What one of them learned of the limit since this was last asked; None: nothing."""
        raise NotImplementedError

    def teach(self, state: list[float]) -> None:
        """This was learned here, on top of what ``learned`` told last."""
        raise NotImplementedError
