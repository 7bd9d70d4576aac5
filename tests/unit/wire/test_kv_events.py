"""Both forms in which engines publish what their caches hold are read alike."""

from array import array
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


@pytest.mark.parametrize("named", [[], {}, None, 7, b"BlockStored", "NewerThanThis"])
def test_a_kind_that_is_not_known_is_passed_over_whatever_it_is_called(named: Any) -> None:
    assert read({"type": named, "block_hashes": [7]}, [named, [7]]) == []


def test_a_batch_that_is_nested_without_end_is_refused() -> None:
    with pytest.raises(ValueError, match="KV"):
        decode_batch(b"\x91" * 100_000)


@given(st.binary(max_size=64))
def test_any_bytes_are_read_or_refused(payload: bytes) -> None:
    try:
        decode_batch(payload)
    except ValueError:
        return


def stored(**more: Any) -> KvEvent:
    """Two blocks of 16 tokens, told as a map with these fields besides."""
    event = {"type": "BlockStored", "block_hashes": [7, 8], "block_size": 16, "token_ids": TOKENS}
    [found] = decode_batch(packed([1.5, [event | more], 0]))
    return found


def tokens(event: KvEvent) -> list[int]:
    return array("q", event.tokens).tolist()


@pytest.mark.parametrize(("parent", "hashed"), [(SIGNED, UNSIGNED), (9, 9), (b"h", b"h")])
def test_what_blocks_stand_for_is_read_with_what_they_follow(parent: Any, hashed: Any) -> None:
    found = stored(parent_block_hash=parent)
    assert found.parent == (hashed, 0)
    assert tokens(found) == TOKENS
    [same] = decode_batch(packed([1.5, [["BlockStored", [7, 8], parent, TOKENS, 16, None]], 0]))
    assert (same.parent, same.tokens) == (found.parent, found.tokens)


def test_a_parent_that_cannot_be_read_leaves_it_open_what_they_stand_for() -> None:
    found = stored(parent_block_hash="text")
    assert (found.parent, found.tokens, len(found.blocks)) == (None, b"", 2)


def test_adapters_are_told_by_their_names_and_not_by_a_number_alone() -> None:
    assert stored(lora_id=1, lora_name="sql").adapter == "sql"
    assert tokens(stored(lora_id=1, lora_name="sql")) == TOKENS
    assert stored(lora_id=1).tokens == b""  # another engine numbers them in another way
    assert stored(lora_id=1, lora_name="").tokens == b""
    [old] = decode_batch(
        packed([1.5, [["BlockStored", [7, 8], None, TOKENS, 16, 1, "GPU", "sql"]], 0])
    )
    assert (old.adapter, tokens(old)) == ("sql", TOKENS)


def test_what_else_went_into_a_hash_is_read_block_by_block() -> None:
    found = stored(extra_keys=[None, ["salt", 3]])
    assert found.extras == [b"", packed(["salt", 3])]
    [same] = decode_batch(
        packed(
            [
                1.5,
                [["BlockStored", [7, 8], None, TOKENS, 16, None, "GPU", None, [None, ["salt", 3]]]],
            ]
        )
    )
    assert (same.extras, tokens(same)) == (found.extras, TOKENS)
    assert stored().extras == stored(extra_keys=None).extras == []
    assert stored(extra_keys=["salt"]).tokens == b""  # it is not known of which block


@pytest.mark.parametrize(
    ("group", "kind", "told"),
    [
        (None, None, True),
        (0, None, True),
        (1, None, False),  # which kind the second group holds is not told
        (1, "full_attention", True),
        (0, "sliding_window", False),
        (2, "mla_attention", True),
        (0, "mamba", False),
    ],
)
def test_only_blocks_of_full_attention_stand_for_a_prefix(
    group: int | None, kind: str | None, *, told: bool
) -> None:
    found = stored(group_idx=group, kv_cache_spec_kind=kind, parent_block_hash=5)
    assert tokens(found) == (TOKENS if told else [])
    assert found.blocks == [(7, group or 0), (8, group or 0)]  # they count all the same
    assert found.parent == ((5, group or 0) if told else None)
    array_form = ["BlockStored", [7, 8], 5, TOKENS, 16, None, "GPU", None, None, group, kind]
    [same] = decode_batch(packed([1.5, [array_form], 0]))
    assert (same.blocks, same.tokens, same.parent) == (found.blocks, found.tokens, found.parent)


def test_pairs_of_neighbouring_tokens_stand_for_the_first_of_each() -> None:
    assert tokens(stored(token_ids=[[token, token + 1] for token in TOKENS])) == TOKENS


@pytest.mark.parametrize(
    "ids", [None, TOKENS[1:], [*TOKENS, 1], ["a"] * 32, [UNSIGNED] * 32, [[]] * 32, "text"]
)
def test_tokens_that_are_not_those_of_the_blocks_are_left_out(ids: Any) -> None:
    found = stored(token_ids=ids)
    assert (found.tokens, len(found.blocks)) == (b"", 2)
