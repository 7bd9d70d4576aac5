"""Session: a conversation stays where it began, by rendezvous hashing with a bound on loads.

The key is the first of these that a request has: the pool's hash key, where that is a header, a
cookie or a parameter; a header (``x-session-id``, ``x-dynamo-session-id``,
``x-claude-code-session-id``, ``x-session-affinity``, ``x-opencode-session``, ``session-id``,
``session_id``, ``conversation_id``, ``thread-id``, ``x-conversation-id``); in the body of a request
to a language model ``conversation``, ``prompt_cache_key``, ``user``, ``safety_identifier`` or
``metadata.user_id``; the path, where that is the hash key; the client's address. Values longer than
1 KiB are ignored. ``previous_response_id`` is not a key, as it differs with every turn: with any
policy, such a turn goes to the endpoint that made that answer.

A key finds the same endpoint in every worker and after every restart, without a table. An endpoint
above ``bounded_load`` times its fair share gets no more. Sources: see ``rendezvous``; the keys are
those that clients send in practice. O(endpoints).
"""

from typing import ClassVar

from penstock.core.policy.base import Option
from penstock.core.policy.hashing.rendezvous import Rendezvous
from penstock.core.policy.support.hashing import BOUNDED_LOAD
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
