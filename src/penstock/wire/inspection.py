"""What a request to a language model asks for. See ``openai.py``, which reads it."""

from typing import Any, Final

from xxhash import xxh3_64_intdigest

from penstock.wire.prompt_blocks import MOST_BYTES, block_ends, hash_of

_NO_BLOCKS: Final[list[int]] = []  # shared, never changed
_DEFAULT_TAG: Final = ":latest"


class Inspection:
    """What was understood. ``problem`` is empty iff the rest can be relied on; else, and of other
    APIs than those known, only ``model`` can.

    ``output_limit`` is in tokens, 0 for none. ``prompt_tokens`` is exact for prompts given as
    token ids and -1 otherwise: then it is to be estimated from ``prompt_bytes`` and ``images``.
    ``blocks`` are the chained hashes.
    """

    # Defaults stand in the class body: set one by one they cost more than the rest of __init__.
    model: str = ""
    stream: bool = False
    choices: int = 1  # that are asked for
    transfer: str = ""  # a field of it that is between engines (``wire.kv_transfers``)
    stays: bool = False  # something of it stays behind at the endpoint
    tools: bool = False  # are on offer
    runs_tools: bool = False  # the server carries some of them out itself
    output_limit: int = 0
    session_hash: int = 0
    user: str = ""  # whom the client names as the one that it asks for
    continues: int = 0  # hash of the answer that it goes on from; 0 without one
    cache_salt: str = ""
    stream_options: bytes = b""  # as it stands in the body; empty without it
    id_slot: bool = False  # it names a slot of the engine (llama.cpp)
    single: bool = True  # the prompt is certainly one sequence
    answered: int = -1  # turns before it, of a chat; -1: not told
    prompt_bytes: int = 0
    prompt_tokens: int = -1
    images: int = 0
    blocks: list[int] = _NO_BLOCKS
    _opening: int = 0
    _prompt: Any = None  # as it was read at once, while its opening may be asked for

    def __init__(self, api: int, problem: str = "") -> None:
        self.api: int = api
        self.problem: str = problem

    @property
    def opening(self) -> int:
        """Hash of all up to the first turn of the user, which later prompts have in common; of as
        much as blocks are made of at most. 0 without one."""
        prompt = self._prompt
        if prompt is not None:
            self._prompt = None
            text = prompt.opening(MOST_BYTES)
            self._opening = (hash_of([text]) or 1) if text else 0
        return self._opening

    @property
    def block_ends(self) -> list[int]:
        """Where its blocks end, in bytes of the prompt."""
        return block_ends(len(self.blocks))

    def forget_text(self) -> None:
        """Its body is not needed any more."""
        self._prompt = None

    def first_hash(self) -> int:
        """What its first block goes on from: different models share no cache; with Ollama's default
        tag one is none other."""
        model = self.model.removesuffix(_DEFAULT_TAG)
        chained = int(xxh3_64_intdigest(model.encode("utf-8", "surrogatepass")))
        if self.cache_salt:
            salt = self.cache_salt.encode("utf-8", "surrogatepass")
            chained = int(xxh3_64_intdigest(salt, chained))
        return chained
