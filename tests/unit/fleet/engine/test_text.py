"""Tokens, templates and answers: conversations go on token for token, cut answers as they would."""

import pytest

from penstock.fleet.engine.text import (
    TOKEN_BYTES,
    ChatMessage,
    answer,
    block_hashes,
    padded,
    render_chat,
    render_tokens,
    token_ids,
)


def conversation(*texts: str) -> list[ChatMessage]:
    roles = ("user", "assistant")
    return [ChatMessage(roles[number % 2], text) for number, text in enumerate(texts)]


@pytest.mark.parametrize("question", ["hi", "four", "what is it?", "größer"])
def test_the_next_prompt_begins_with_the_last_one_and_its_answer(question: str) -> None:
    prompt = render_chat(conversation(question))
    said, _ = answer(prompt, at_most=7, mean_tokens=None)
    assert len(prompt) % TOKEN_BYTES == 0
    assert len(said) == 7 * TOKEN_BYTES
    assert render_chat(conversation(question, said.decode(), "go on")).startswith(prompt + said)


def test_tools_and_images_are_part_of_the_prompt() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    other = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAB"}}
    text = {"type": "text", "text": "what is it?"}
    with_image = render_chat([ChatMessage("user", [text, image])])
    assert b"what is it?" in with_image
    assert with_image != render_chat([ChatMessage("user", [text, other])])
    assert render_chat(conversation("a"), tools=[{"name": "t"}]).startswith(b"<|tools|>")


@pytest.mark.parametrize("mean_tokens", [None, 20])
def test_a_cut_answer_that_is_continued_goes_on_as_it_would_have(mean_tokens: int | None) -> None:
    question = conversation("what is the meaning of all this?")
    whole, _ = answer(render_chat(question), at_most=30, mean_tokens=mean_tokens)
    cut = whole[: len(whole) // TOKEN_BYTES // 2 * TOKEN_BYTES]
    chat = render_chat([*question, ChatMessage("assistant", cut.decode())], continued=True)
    plain = render_chat(question) + cut
    left = 30 - len(cut) // TOKEN_BYTES
    for prompt in (chat, plain):
        rest, _ = answer(prompt, at_most=left, mean_tokens=mean_tokens)
        assert cut + rest == whole


def test_answers_are_as_long_as_the_mean_and_differ() -> None:
    lengths = [
        len(answer(f"question {number}".encode(), at_most=10_000, mean_tokens=50)[0]) // TOKEN_BYTES
        for number in range(2000)
    ]
    # Geometric: the mean of 2,000 has a standard error of 1.1; six of them.
    assert sum(lengths) / len(lengths) == pytest.approx(50, abs=6.6)


def test_an_answer_has_the_limits_it_is_given() -> None:
    for number in range(50):
        said, ended = answer(b"%d" % number, at_most=5, at_least=5, mean_tokens=2)
        assert len(said) == 5 * TOKEN_BYTES
    said, ended = answer(b"x", at_most=5, mean_tokens=None)
    assert not ended


def test_hashes_of_blocks_stand_for_all_before_them() -> None:
    first, second = b"a" * 64, b"b" * 64
    one = block_hashes(first + second, 16, seed=1)
    assert len(one) == 2
    assert block_hashes(first + second + b"c" * 63, 16, seed=1) == one
    assert block_hashes(second + second, 16, seed=1)[1] != one[1]
    assert block_hashes(first + second, 16, seed=2)[0] != one[0]


def test_token_ids_and_text_are_the_same_thing() -> None:
    data = padded("übermorgen".encode())
    assert render_tokens(token_ids(data)) == data
    assert padded(b"") == b"    "
