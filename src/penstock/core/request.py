"""A request as the decision core sees it: the facts a policy may decide by."""

from typing import Final

from mypy_extensions import mypyc_attr

from penstock.core.caller import ANYONE, Caller
from penstock.core.measure.tokens import Outlook

_NO_BLOCKS: Final[list[int]] = []  # shared, never changed


@mypyc_attr(allow_interpreted_subclasses=True)
class Request:
    """Facts about one request, fixed once it is parsed.

    ``key_hash`` is a stable unsigned 64-bit hash of what the pool's policy hashes by (a header,
    a cookie, the path, the source address; see ``Policy.key``), and 0 when the request has no
    such thing. ``session_hash`` is a hash of what the request names its session by, in a header or
    in its body, 0 without one. ``continues`` is one of the answer that it goes on from or is about,
    which only the endpoint that made it may know. ``source`` is the client's address as text, and
    ``caller`` who asks.

    The rest is known only of requests to a language model, and empty for all others.
    ``prompt_tokens`` and ``output_tokens`` are estimates made before the answer; ``outlook`` tells
    what to expect of its length as it goes on. ``blocks`` are
    hashes of the prompt's blocks, each standing for all that precedes it as well; block i ends
    ``block_ends[i]`` tokens into the prompt, or where that is empty after ``block_tokens`` each.
    An answer that ``streams`` has its first byte with its first token.
    """

    def __init__(
        self,
        *,
        method: str = "GET",
        host: str = "",
        path: str = "/",
        source: str = "",
        key_hash: int = 0,
        model: str = "",
        prompt_tokens: int = 0,
        output_tokens: int = 0,
        outlook: Outlook | None = None,
        blocks: list[int] | None = None,
        block_ends: list[int] | None = None,
        block_tokens: int = 0,
        session_hash: int = 0,
        continues: int = 0,
        streams: bool = True,
        caller: Caller = ANYONE,
    ) -> None:
        self.method: str = method
        self.host: str = host
        self.path: str = path
        self.source: str = source
        self.key_hash: int = key_hash
        self.model: str = model
        self.prompt_tokens: int = prompt_tokens
        self.output_tokens: int = output_tokens
        self.outlook: Outlook | None = outlook
        self.blocks: list[int] = _NO_BLOCKS if blocks is None else blocks
        self.block_ends: list[int] = _NO_BLOCKS if block_ends is None else block_ends
        self.block_tokens: int = block_tokens
        self.session_hash: int = session_hash
        self.continues: int = continues
        self.streams: bool = streams
        self.caller: Caller = caller

    def asked_by(self, caller: Caller) -> "Request":
        """The same, asked by another."""
        return Request(
            method=self.method,
            host=self.host,
            path=self.path,
            source=self.source,
            key_hash=self.key_hash,
            model=self.model,
            prompt_tokens=self.prompt_tokens,
            output_tokens=self.output_tokens,
            outlook=self.outlook,
            blocks=self.blocks,
            block_ends=self.block_ends,
            block_tokens=self.block_tokens,
            session_hash=self.session_hash,
            continues=self.continues,
            streams=self.streams,
            caller=caller,
        )

    def tokens_of(self, blocks: int) -> int:
        """How many tokens of the prompt the first ``blocks`` blocks hold."""
        if blocks <= 0:
            return 0
        if self.block_ends:
            return self.block_ends[blocks - 1]
        return min(blocks * self.block_tokens, self.prompt_tokens)
