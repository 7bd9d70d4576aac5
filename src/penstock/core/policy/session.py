"""Session: a conversation stays where it began, by rendezvous hashing with a bound on loads.

The key is what the request's body names its session or cache by (``prompt_cache_key``, ``user``);
without one, the pool's hash key, such as a header. Both find the same endpoint in every worker and
after every restart, without a table. Over ``bounded_load`` times its fair share an endpoint gets no
more. Sources: see ``rendezvous``; the keys are those that clients send in the wild. O(endpoints).
"""

from typing import ClassVar

from penstock.core.policy._hashing import BOUNDED_LOAD
from penstock.core.policy.base import Option
from penstock.core.policy.rendezvous import Rendezvous
from penstock.core.request import Request


class Session(Rendezvous):
    name: ClassVar[str] = "session"
    options: ClassVar[tuple[Option, ...]] = (
        Option(BOUNDED_LOAD.name, 1.25, BOUNDED_LOAD.meaning, minimum=0.0),
    )

    def __init__(self, bounded_load: float = 1.25) -> None:
        super().__init__(bounded_load)

    def key_of(self, request: Request) -> int:
        return request.session_hash or request.key_hash
