"""What reading along costs: ``python -m benchmarks.inspect``. CPU time, best of several rounds."""

import json
import platform
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from time import process_time
from typing import Final

import click

from benchmarks import record
from benchmarks.marked import replace
from penstock._form import form
from penstock.core.endpoint import Endpoint
from penstock.core.env import Env
from penstock.core.prefixes.prefix_index import PrefixIndex
from penstock.core.request import Request
from penstock.dataplane.llm.answer_reading import AnswerReading
from penstock.wire import openai
from penstock.wire.chunked import encode_chunk
from penstock.wire.usage import UsageHider

FILE: Final = Path("docs") / "llm.md"
BODY_BYTES: Final = 436_000  # about 100,000 tokens
ROUNDS: Final = 15
CHUNK: Final = (
    b'data: {"id":"chatcmpl-0123456789","object":"chat.completion.chunk","created":1700000000,'
    b'"model":"m","choices":[{"index":0,"delta":{"content":" token"},"logprobs":null,'
    b'"finish_reason":null}],"usage":null}\n\n'
)


def best_us(work: Callable[[], object], times: int) -> float:
    """Microseconds a call takes, in the best round."""
    rounds = []
    for _ in range(ROUNDS):
        began = process_time()
        for _ in range(times):
            work()
        rounds.append((process_time() - began) / times)
    return min(rounds) * 1e6


def chat_body(messages: int) -> bytes:
    """A conversation of about BODY_BYTES in this many messages."""
    dice = Random(1)
    words = ["the", "engine", "answers", 'a "question"', "line\n", "of", "prefix", "tokens"]
    each = BODY_BYTES // messages
    turns = []
    for turn in range(messages):
        text = " ".join(dice.choices(words, k=each // 8))
        turns.append({"role": "user" if turn % 2 == 0 else "assistant", "content": text})
    return json.dumps({"model": "m", "stream": True, "messages": turns}).encode()


def reading_cost(chunk: bytes, *, hides: bool) -> float:
    """Microseconds to read one chunk of a stream along as a worker does, deframing included."""
    reading = AnswerReading(True, True, Env(Random(1)))
    if hides:
        reading.hider = UsageHider()
    framed = encode_chunk(chunk)
    return best_us(lambda: reading.pass_on(framed, False), 20_000)


def measurements() -> Iterator[tuple[str, float]]:
    """What is done, and the microseconds that it takes."""
    for messages in (1, 40, 400):
        body = chat_body(messages)
        cost = best_us(partial(openai.inspect, openai.CHAT, body), 20)
        yield f"understand a body of {len(body):,} bytes, messages: {messages}", cost
    found = openai.inspect(openai.CHAT, chat_body(40))
    ends = [end // 4 for end in found.block_ends]
    request = Request(blocks=found.blocks, block_ends=ends, prompt_tokens=ends[-1])
    endpoints = [Endpoint(f"e{number}") for number in range(8)]
    index = PrefixIndex()
    for endpoint in endpoints[:3]:
        index.insert(request, endpoint)
    blocks = len(found.blocks)
    yield (
        f"find {blocks} blocks on 8 endpoints",
        best_us(lambda: index.matches(request, endpoints), 100),
    )
    yield f"note {blocks} blocks", best_us(lambda: index.insert(request, endpoints[0]), 100)
    size = len(CHUNK)
    yield f"read a chunk of {size} bytes along", reading_cost(CHUNK, hides=False)
    yield "the same, hiding usage", reading_cost(CHUNK, hides=True)


@click.command()
@click.option("--write-docs", is_flag=True, help=f"Replace the table in {FILE}.")
def main(write_docs: bool) -> None:
    """Measure, and print the table."""
    lines = ["| what | CPU, µs |", "|---|--:|"]
    lines += [f"| {what} | {cost:,.4g} |" for what, cost in measurements()]
    heading = (
        f"`python -m benchmarks.inspect --write-docs`, {form()}, on {record.today()}, "
        f"Python {platform.python_version()}; the best of {ROUNDS} rounds:"
    )
    text = "\n".join([heading, "", *lines])
    click.echo(text)
    if write_docs:
        replace(FILE, "inspect", text, "# Language models\n")


if __name__ == "__main__":
    main()
