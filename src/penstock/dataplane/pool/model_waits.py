"""Requests for models that nobody is known to serve: endpoints are asked once more before a 404.

The supervisor asks; a pool's requests wait here until it tells what it found, or for so long.
"""

from typing import Final

from mypy_extensions import mypyc_attr, trait

from penstock.core.env import Env
from penstock.dataplane.io.loop import report_bug

MODELS_WANTED: Final = "models.wanted"  # to the supervisor, as a notice's event
MODELS_CHANGED: Final = "changed"  # as its message: also within a second of the last look
_EVERY_S: Final = 1.0  # made-up names must not have endpoints asked without end
_PATIENCE_S: Final = 3.0  # the supervisor's own bound is 2 s to ask and 2 s to publish
_MOST_WAITING: Final = 1000


@mypyc_attr(allow_interpreted_subclasses=True)
class ToldAtOnce:
    """The supervisor, as those see it that wait for what it does. This one is not there."""

    def tell(self, notice: dict[str, object]) -> None:
        """Without waiting for the next sweep."""


@trait
class ModelsAwaiter:
    """A request that waits until endpoints were asked once more which models they serve."""

    def has_ended(self) -> bool:
        """Whether its client left meanwhile."""
        raise NotImplementedError

    def on_models_known(self) -> None:
        """They were asked."""
        raise NotImplementedError

    def on_crash(self) -> None:
        """A bug showed while it was told: give up, and leave nobody waiting."""
        raise NotImplementedError


class ModelWaits:
    """Those of one pool, in one worker."""

    def __init__(self, pool: str, env: Env) -> None:
        self.supervisor: ToldAtOnce = ToldAtOnce()
        self._pool: str = pool
        self._env: Env = env
        self._waiting: list[ModelsAwaiter] = []
        self._asked_at: float = -1e9
        self._since: float = 0.0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, exchange: ModelsAwaiter) -> bool:
        """Let it wait until endpoints were asked once more; False when they just were."""
        now = self._env.now
        if not self._waiting:
            if now - self._asked_at < _EVERY_S:
                return False
            self._since = now
            self.look("")
        elif len(self._waiting) >= _MOST_WAITING:
            return False
        self._waiting.append(exchange)
        return True

    def look(self, why: str) -> None:
        """Have endpoints asked which models they serve."""
        self._asked_at = self._env.now
        self.supervisor.tell({"event": MODELS_WANTED, "message": why, "pool": self._pool})

    def missed(self) -> None:
        """An endpoint answered 404: what it serves may have changed."""
        if self._env.now - self._asked_at >= _EVERY_S:
            self.look("")

    def changed(self) -> None:
        """A request passed that may have changed which models there are."""
        self.look(MODELS_CHANGED)
        self._asked_at = -1e9  # whoever asks for one of them before that is known waits for it

    def go_on(self) -> None:
        """Endpoints were asked: all decide by what is known now."""
        waiting = self._waiting
        self._waiting = []
        for exchange in waiting:
            if exchange.has_ended():
                continue  # its client left
            try:
                exchange.on_models_known()
            except Exception:  # noqa: BLE001 - that request's bug must not end the others that wait
                report_bug("while a request went on to its model")
                exchange.on_crash()

    def on_sweep(self, now: float) -> None:
        """Four times a second."""
        if self._waiting and now - self._since > _PATIENCE_S:
            self.go_on()
