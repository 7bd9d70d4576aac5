"""Events of an engine's KV cache as vLLM and SGLang publish them: MessagePack, in two forms.

A batch is ``[time, events, rank]`` or a map of ``ts`` and ``events``. An event is an array that
begins with its kind (older engines, SGLang) or a map with ``type``. Hashes are signed or unsigned
64-bit integers or bytes; they are an engine's own and mean nothing outside of it. Source:
vllm/distributed/kv_events.py and sglang/srt/disaggregation/kv_events.py, by the reference of what
engines speak.

What a block stands for in every engine alike are its tokens, those before it, the adapter, and what
else went into its hash (a cache salt, images): these are read too, where they are told.
"""

from array import array
from typing import Any, Final

import msgspec

STORED: Final = 0
REMOVED: Final = 1
CLEARED: Final = 2

_KINDS: Final = {"BlockStored": STORED, "BlockRemoved": REMOVED, "AllBlocksCleared": CLEARED}
# Positions in the array form.
_HASHES: Final = 1
_PARENT: Final = 2
_TOKENS: Final = 3
_BLOCK_SIZE: Final = 4
_ADAPTER_ID: Final = 5
_STORED_MEDIUM: Final = 6
_ADAPTER: Final = 7
_EXTRA_KEYS: Final = 8
_GROUP: Final = 9
_SPEC_KIND: Final = 10
_REMOVED_MEDIUM: Final = 2
_REMOVED_GROUP: Final = 3
_UNSIGNED: Final = (1 << 64) - 1
TOKEN_BYTES: Final = 8  # of a token in ``KvEvent.tokens``
_decoder = msgspec.msgpack.Decoder()
_encoder = msgspec.msgpack.Encoder()

Block = tuple[int | bytes, int]  # hash, cache group: hybrid models keep several kinds of blocks


class KvEvent:
    """``blocks`` appeared, each of ``block_tokens``, or are gone.

    Of those that appeared, one after the other behind ``parent`` (None: at the beginning): their
    token ids, TOKEN_BYTES each, empty where they are not told or do not make a prefix by
    themselves; the adapter's name; ``extras`` beside the blocks, what else their hashes stand for.
    """

    def __init__(self, kind: int, blocks: list[Block], block_tokens: int = 0) -> None:
        self.kind: int = kind
        self.blocks: list[Block] = blocks
        self.block_tokens: int = block_tokens
        self.parent: Block | None = None
        self.tokens: bytes = b""
        self.adapter: str = ""
        self.extras: list[bytes] = []


def decode_batch(payload: bytes) -> list[KvEvent]:
    """The events of a batch that concern the accelerator's memory, in order.

    Raises ValueError when it cannot be read. Kinds that are not known are passed over, so that an
    engine may say more than this knows.
    """
    try:
        batch = _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"a batch of KV events cannot be read: {error}") from error
    events: object = None
    if isinstance(batch, dict):
        events = batch.get("events")
    elif isinstance(batch, list) and len(batch) >= 2:
        events = batch[1]
    if not isinstance(events, list):
        raise ValueError("a batch of KV events has no list of events")
    found: list[KvEvent] = []
    for event in events:
        read = _of_map(event) if isinstance(event, dict) else _of_array(event)
        if read is not None:
            found.append(read)
    return found


def _of_map(event: dict[Any, Any]) -> KvEvent | None:
    named = event.get("type")
    kind = _KINDS.get(named, -1) if isinstance(named, str) else -1
    if kind < 0 or not _on_accelerator(event.get("medium")):
        return None
    group = event.get("group_idx")
    found = _event(kind, event.get("block_hashes"), event.get("block_size"), group)
    if kind == STORED:
        _read_prefix(
            found,
            event.get("parent_block_hash"),
            event.get("token_ids"),
            event.get("lora_id"),
            event.get("lora_name"),
            event.get("extra_keys"),
            group,
            event.get("kv_cache_spec_kind"),
        )
    return found


def _of_array(event: object) -> KvEvent | None:
    if not isinstance(event, list) or not event:
        raise ValueError("an event of a KV cache is neither an array nor a map")
    kind = _KINDS.get(event[0], -1) if isinstance(event[0], str) else -1
    if kind < 0:
        return None
    medium = _STORED_MEDIUM if kind == STORED else _REMOVED_MEDIUM
    if kind != CLEARED and not _on_accelerator(_at(event, medium)):
        return None
    group = _at(event, _GROUP if kind == STORED else _REMOVED_GROUP)
    found = _event(kind, _at(event, _HASHES), _at(event, _BLOCK_SIZE), group)
    if kind == STORED:
        _read_prefix(
            found,
            _at(event, _PARENT),
            _at(event, _TOKENS),
            _at(event, _ADAPTER_ID),
            _at(event, _ADAPTER),
            _at(event, _EXTRA_KEYS),
            group,
            _at(event, _SPEC_KIND),
        )
    return found


def _read_prefix(
    found: KvEvent,
    parent: object,
    token_ids: object,
    adapter_id: object,
    adapter: object,
    extra_keys: object,
    group: object,
    spec_kind: object,
) -> None:
    """What the blocks stand for. Where that is not certain it stays empty: they count all the same.

    Blocks of a sliding window or of a recurrent state hold no prefix by themselves, so only those
    of full attention are taken. An adapter told by a number alone is another one elsewhere.
    """
    index = group if isinstance(group, int) else 0
    full = index == 0
    if isinstance(spec_kind, str):
        full = "full" in spec_kind or spec_kind.startswith("mla")
    named = isinstance(adapter, str) and adapter != ""
    if not full or (adapter_id is not None and not named):
        return
    if isinstance(parent, int):
        found.parent = (parent & _UNSIGNED, index)
    elif isinstance(parent, bytes):
        found.parent = (parent, index)
    elif parent is not None:
        return
    if isinstance(extra_keys, list):
        if len(extra_keys) != len(found.blocks):
            return
        found.extras = [b"" if each is None else _encoder.encode(each) for each in extra_keys]
    if isinstance(adapter, str):
        found.adapter = adapter
    found.tokens = _token_bytes(token_ids, len(found.blocks) * found.block_tokens)


def _token_bytes(token_ids: object, count: int) -> bytes:
    """SGLang tells pairs of neighbours where it drafts by them: the first of each is the token."""
    if not isinstance(token_ids, list) or len(token_ids) != count:
        return b""
    try:
        if count and isinstance(token_ids[0], list):
            return array("q", [pair[0] for pair in token_ids]).tobytes()
        return array("q", token_ids).tobytes()
    except (TypeError, OverflowError, IndexError):
        return b""


def _event(kind: int, hashes: object, block_size: object, group: object) -> KvEvent:
    if kind == CLEARED:
        return KvEvent(kind, [])
    size = block_size if isinstance(block_size, int) else 0
    if not isinstance(hashes, list) or (kind == STORED and size <= 0):
        raise ValueError("an event of a KV cache lacks its blocks or their size")
    index = group if isinstance(group, int) else 0
    blocks: list[Block] = []
    for each in hashes:
        if isinstance(each, int):
            blocks.append((each & _UNSIGNED, index))
        elif isinstance(each, bytes):
            blocks.append((each, index))
        else:
            raise ValueError("a hash in an event of a KV cache is neither a number nor bytes")
    return KvEvent(kind, blocks, size if kind == STORED else 0)


def _at(event: list[Any], index: int) -> object:
    return event[index] if index < len(event) else None


def _on_accelerator(medium: object) -> bool:
    """Blocks moved to the host's memory or a disk are told apart by their medium."""
    return medium is None or (isinstance(medium, str) and medium.upper() == "GPU")
