"""Conversations keep slots of their own, and no request waits for a slot while another is free."""

from itertools import accumulate

from penstock.core.prefixes.engine_slots import ANY, EngineSlots

SYSTEM = ["s"] * 20


def prompt(*parts: str) -> list[int]:
    """Hashes of a prompt's blocks: a system prompt that all share, then these."""
    return list(
        accumulate([hash(part) for part in SYSTEM + list(parts)], lambda a, b: hash((a, b)))
    )


def placed(slots: EngineSlots, conversation: int, blocks: list[int], answered: int = 0) -> int:
    """The slot of a request that is sent and has ended."""
    slot = slots.choose(conversation, blocks, answered)
    slots.take(slot, conversation, blocks)
    slots.free(slot, True)
    return slot


def test_conversations_that_begin_alike_stay_in_slots_of_their_own() -> None:
    slots = EngineSlots(4)
    for turn in range(3):
        for conversation in (1, 2, 3):
            blocks = prompt(*[f"{conversation}.{each}" for each in range(turn + 1)])
            assert placed(slots, conversation, blocks, turn) == conversation - 1


def test_text_without_turns_stays_where_it_goes_on() -> None:
    slots = EngineSlots(2)
    assert placed(slots, 0, prompt("a"), -1) == 0
    assert placed(slots, 0, prompt("b"), -1) == 1
    assert placed(slots, 0, prompt("a", "more"), -1) == 0
    assert placed(slots, 0, prompt("b", "more"), -1) == 1
    assert placed(slots, 0, prompt("c"), -1) == ANY  # it may be in the engine, and nothing is lost


def test_text_too_short_to_be_told_apart_is_left_to_the_engine() -> None:
    assert EngineSlots(2).choose(0, [], -1) == ANY


def test_a_conversation_that_begins_gets_the_slot_used_least_recently() -> None:
    slots = EngineSlots(2)
    assert placed(slots, 1, prompt("1")) == 0
    assert placed(slots, 2, prompt("2")) == 1
    assert placed(slots, 1, prompt("1", "more"), 1) == 0
    assert placed(slots, 3, prompt("3")) == 1


def test_a_conversation_that_is_not_known_goes_where_the_engine_finds_it() -> None:
    slots = EngineSlots(2)
    assert slots.choose(1, prompt("1"), 1) == ANY
    placed(slots, 1, prompt("1"))
    placed(slots, 2, prompt("2"))
    placed(slots, 3, prompt("3"))  # in the place of the first
    assert slots.choose(1, prompt("1", "more"), 1) == ANY


def test_an_edited_turn_stays_in_its_slot_and_another_branch_does_not() -> None:
    slots = EngineSlots(2)
    turns = [str(each) for each in range(60)]
    assert placed(slots, 1, prompt(*turns)) == 0
    assert slots.choose(1, prompt(*turns[:50], "edited"), 25) == 0
    assert slots.choose(1, prompt("another"), 0) == 1


def test_a_slot_that_works_is_never_chosen() -> None:
    slots = EngineSlots(2)
    slots.take(0, 1, prompt("1"))
    assert slots.choose(1, prompt("1"), 0) == 1
    slots.take(1, 2, prompt("2"))
    assert slots.choose(1, prompt("1", "more"), 1) == ANY
    assert slots.choose(3, prompt("3"), 0) == ANY
    slots.free(0, True)
    assert slots.choose(1, prompt("1", "more"), 1) == 0


def test_none_is_chosen_while_a_request_is_in_one_that_is_not_known() -> None:
    slots = EngineSlots(2)
    slots.take(ANY, 0, [])
    assert slots.choose(1, prompt("1"), 0) == ANY
    slots.free(ANY, True)
    assert slots.choose(1, prompt("1"), 0) == 0


def test_a_slot_whose_client_left_is_free_when_the_engine_has_told_so_twice() -> None:
    for slot, then in ((0, 1), (ANY, ANY)):
        slots = EngineSlots(2)
        slots.take(slot, 1, prompt("1"))
        slots.free(slot, False)
        assert slots.choose(1, prompt("1"), 0) == then
        slots.told_idle()  # it may have been asked before the client left
        assert slots.choose(1, prompt("1"), 0) == then
        slots.told_idle()
        assert slots.choose(1, prompt("1"), 0) == 0
