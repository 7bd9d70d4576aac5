"""Events of an engine's KV cache as vLLM and SGLang publish them: MessagePack, in two forms.

A batch is ``[time, events, rank]`` or a map of ``ts`` and ``events``. An event is an array that
begins with its kind (older engines, SGLang) or a map with ``type``. Hashes are signed or unsigned
64-bit integers or bytes; they are an engine's own and mean nothing outside of it. Source:
vllm/distributed/kv_events.py and sglang/srt/disaggregation/kv_events.py, by the reference of what
engines speak.
"""

from typing import Any, Final

import msgspec

STORED: Final = 0
REMOVED: Final = 1
CLEARED: Final = 2

_KINDS: Final = {"BlockStored": STORED, "BlockRemoved": REMOVED, "AllBlocksCleared": CLEARED}
# Positions in the array form.
_HASHES: Final = 1
_BLOCK_SIZE: Final = 4
_STORED_MEDIUM: Final = 6
_REMOVED_MEDIUM: Final = 2
_UNSIGNED: Final = (1 << 64) - 1
_decoder = msgspec.msgpack.Decoder()

Block = tuple[int | bytes, int]  # hash, cache group: hybrid models keep several kinds of blocks


class KvEvent:
    """``blocks`` appeared, each of ``block_tokens``, or are gone."""

    def __init__(self, kind: int, blocks: list[Block], block_tokens: int = 0) -> None:
        self.kind: int = kind
        self.blocks: list[Block] = blocks
        self.block_tokens: int = block_tokens


def decode_batch(payload: bytes) -> list[KvEvent]:
    """The events of a batch that concern the accelerator's memory, in order.

    Raises ValueError when it cannot be read. Kinds that are not known are passed over, so that an
    engine may say more than this knows.
    """
    try:
        batch = _decoder.decode(payload)
    except msgspec.DecodeError as error:
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
    kind = _KINDS.get(event.get("type", ""), -1)
    if kind < 0 or not _on_accelerator(event.get("medium")):
        return None
    group = event.get("group_idx")
    return _event(kind, event.get("block_hashes"), event.get("block_size"), group)


def _of_array(event: object) -> KvEvent | None:
    if not isinstance(event, list) or not event:
        raise ValueError("an event of a KV cache is neither an array nor a map")
    kind = _KINDS.get(event[0], -1) if isinstance(event[0], str) else -1
    if kind < 0:
        return None
    medium = _STORED_MEDIUM if kind == STORED else _REMOVED_MEDIUM
    if kind != CLEARED and not _on_accelerator(_at(event, medium)):
        return None
    return _event(kind, _at(event, _HASHES), _at(event, _BLOCK_SIZE), None)


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
