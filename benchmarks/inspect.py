"""What reading along costs: ``python -m benchmarks.inspect``. CPU time, best of several rounds."""

import json
from collections.abc import Callable
from random import Random
from time import process_time

from penstock.core.endpoint import Endpoint
from penstock.core.prefix_index import PrefixIndex
from penstock.core.request import Request
from penstock.wire import openai, sse

BODY_BYTES = 436_000  # about 100,000 tokens
ROUNDS = 7


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


def main() -> None:
    """Print the figures."""
    print(f"openai: {openai.__file__}")
    for messages in (1, 40, 400):
        body = chat_body(messages)
        cost = best_us(lambda body=body: openai.inspect(openai.CHAT, body), 20)  # type: ignore[misc]
        print(f"inspect {len(body)} bytes, {messages} messages: {cost:.0f} us")
    found = openai.inspect(openai.CHAT, chat_body(40))
    ends = [end // 4 for end in found.block_ends]
    request = Request(blocks=found.blocks, block_ends=ends, prompt_tokens=ends[-1])
    endpoints = [Endpoint(f"e{number}") for number in range(8)]
    index = PrefixIndex()
    for endpoint in endpoints[:3]:
        index.insert(request, endpoint)
    cost = best_us(lambda: index.matches(request, endpoints), 100)
    print(f"match {len(found.blocks)} blocks on 8 endpoints: {cost:.0f} us")
    cost = best_us(lambda: index.insert(request, endpoints[0]), 100)
    print(f"insert {len(found.blocks)} blocks: {cost:.0f} us")
    chunk = (
        b'data: {"id":"chatcmpl-0123456789","object":"chat.completion.chunk","created":1700000000,'
        b'"model":"m","choices":[{"index":0,"delta":{"content":" token"},"logprobs":null,'
        b'"finish_reason":null}],"usage":null}\n\n'
    )
    meter = sse.SseMeter()
    print(
        f"meter one chunk of {len(chunk)} bytes: {best_us(lambda: meter.feed(chunk), 20000):.2f} us"
    )


if __name__ == "__main__":
    main()
