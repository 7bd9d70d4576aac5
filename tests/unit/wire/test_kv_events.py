"""Both forms in which engines publish what their caches hold are read alike."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.wire.kv_events import CLEARED, REMOVED, STORED, KvEvent, decode_batch

TOKENS = list(range(32))
SIGNED, UNSIGNED = -1, (1 << 64) - 1


def packed(value: Any) -> bytes:
    return msgspec.msgpack.encode(value)


def read(*events: Any) -> list[tuple[int, list[Any], int]]:
    found = decode_batch(packed([1.5, list(events), 0]))
    return [plain(event) for event in found]


def plain(event: KvEvent) -> tuple[int, list[Any], int]:
    return event.kind, event.blocks, event.block_tokens


ARRAYS = [
    ["BlockStored", [7, SIGNED], None, TOKENS, 16, None, "GPU", None],
    ["BlockRemoved", [7], "GPU"],
    ["AllBlocksCleared"],
]
MAPS = [
    {
        "type": "BlockStored",
        "block_hashes": [7, UNSIGNED],
        "parent_block_hash": None,
        "token_ids": TOKENS,
        "block_size": 16,
        "lora_id": None,
        "medium": "GPU",
    },
    {"type": "BlockRemoved", "block_hashes": [7], "medium": "GPU"},
    {"type": "AllBlocksCleared"},
]
MEANING = [(STORED, [(7, 0), (UNSIGNED, 0)], 16), (REMOVED, [(7, 0)], 0), (CLEARED, [], 0)]


@pytest.mark.parametrize("events", [ARRAYS, MAPS])
@pytest.mark.parametrize("as_map", [False, True])
def test_both_forms_of_events_and_batches_mean_the_same(events: list[Any], as_map: bool) -> None:
    batch = {"ts": 1.5, "events": events} if as_map else [1.5, events, 0]
    assert [plain(event) for event in decode_batch(packed(batch))] == MEANING


def test_older_engines_say_less_and_newer_ones_more() -> None:
    assert read(["BlockStored", [7], None, TOKENS, 32, None]) == [(STORED, [(7, 0)], 32)]
    assert read(["BlockRemoved", [b"hash"]]) == [(REMOVED, [(b"hash", 0)], 0)]
    assert read({"type": "BlockMoved", "block_hashes": [7]}, ["Other"]) == []
    grouped = {"type": "BlockRemoved", "block_hashes": [7], "group_idx": 2}
    assert read(grouped) == [(REMOVED, [(7, 2)], 0)]


def test_blocks_in_other_memory_than_the_accelerators_are_passed_over() -> None:
    stored = ["BlockStored", [7], None, TOKENS, 16, None, "CPU", None]
    assert read(stored, ["BlockRemoved", [7], "CPU_PINNED"]) == []


@pytest.mark.parametrize(
    "batch",
    [
        5,
        [1.5],
        {"ts": 1.5},
        [1.5, [5], 0],
        [1.5, [[]], 0],
        [1.5, [["BlockStored", [7], None, TOKENS]], 0],
        [1.5, [["BlockRemoved", ["text"]]], 0],
    ],
)
def test_what_is_no_batch_is_refused(batch: Any) -> None:
    with pytest.raises(ValueError, match="KV"):
        decode_batch(packed(batch))


@given(st.binary(max_size=64))
def test_any_bytes_are_read_or_refused(payload: bytes) -> None:
    try:
        decode_batch(payload)
    except ValueError:
        return
