"""One side of a tunnel, as the relay sees it: a connection as a whole, or a stream of one."""

from typing import Final

from mypy_extensions import trait


@trait
class TunnelSide:
    """What comes of it goes to its ``SideOwner``, which gives it what comes of the other."""

    def begin(self, received: bytes) -> None:
        """Pass on what comes from here on; ``received`` came before."""
        raise NotImplementedError

    def take(self, data: bytes) -> bool:
        """Send what came of the other side; False: no more for now, ``drained`` follows."""
        raise NotImplementedError

    def hold(self) -> None:
        """Read no more of it for a while, so that its peer feels the pressure."""
        raise NotImplementedError

    def go_on(self) -> None:
        """Read on, unless it has ended."""
        raise NotImplementedError

    def limit_reading(self, most: int) -> None:
        """Read at most so many bytes at a time, as far as that can be chosen."""
        raise NotImplementedError

    def expire_at(self, at: float) -> None:
        """The tunnel ends then, unless it says another time before; 0.0: never."""
        raise NotImplementedError

    def stop_reading(self) -> None:
        """It sent its end."""
        raise NotImplementedError

    def end_sending(self) -> None:
        """Tell the peer that no more comes, once everything has left."""
        raise NotImplementedError

    def has_passed_all(self) -> bool:
        """Whether it sent its end, and was told the other's."""
        raise NotImplementedError

    def was_told_end(self) -> bool:
        """Whether it was told the other's end."""
        raise NotImplementedError

    def is_told_by_close(self) -> bool:
        """Whether it sent its end, and closing tells it the other's, after all that it was sent."""
        raise NotImplementedError

    def close(self) -> None:
        """Both ways have ended, or nobody waits for anything more."""
        raise NotImplementedError

    def close_in_order(self) -> None:
        """End it from our side, as an end and not as an error."""
        raise NotImplementedError

    def reset(self) -> None:
        """End it so that the peer gets an error."""
        raise NotImplementedError


class _Nowhere(TunnelSide):
    """Nothing is asked of it."""


# Of a relay that ended: it and its sides would keep each other in memory until the garbage
# collector comes.
NOWHERE: Final[TunnelSide] = _Nowhere()


# No trait: every piece comes through here, and a trait's methods are looked up.
class SideOwner:
    """The relay, as its sides see it."""

    def pass_on(self, side: TunnelSide, data: bytes) -> None:
        """Bytes came of one side."""
        raise NotImplementedError

    def count(self, side: TunnelSide, size: int) -> None:
        """So many bytes came of one side, and are passed on by itself."""
        raise NotImplementedError

    def drained(self, side: TunnelSide) -> None:
        """It takes more: the other is read on."""
        raise NotImplementedError

    def limit_other(self, side: TunnelSide, most: int) -> None:
        """Read the other side by so many bytes at most; at 0, for now not at all."""
        raise NotImplementedError

    def end_of(self, side: TunnelSide) -> None:
        """It sends no more."""
        raise NotImplementedError

    def broke(self, side: TunnelSide) -> None:
        """It is gone."""
        raise NotImplementedError

    def let_go(self) -> None:
        """The worker stops: what waits for nothing may end."""

    def drain(self, code: int) -> None:
        """End it soon: a WebSocket by a close with that code, anything else at once."""
        raise NotImplementedError

    def run_out_of_time(self) -> None:
        """No byte came for too long, or no end after a close."""
        raise NotImplementedError

    def cut_off(self) -> None:
        """It is over at once."""
        raise NotImplementedError
