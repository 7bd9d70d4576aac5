"""SGLang's own API: events of an emulated engine tell all that came so far."""

import asyncio
import json

from penstock.fleet.engine.api.base import Answer, Identity
from penstock.fleet.engine.api.sglang import GenerateWriter
from penstock.fleet.engine.generation import CumulativeAnswer
from penstock.fleet.engine.text import token_ids


class Written:
    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data


def test_each_event_tells_text_ids_and_counts_so_far() -> None:
    text = " one two six"
    writer = GenerateWriter(Identity("0a", 1, "m"), Answer(text, "length", "", 5))

    async def told() -> bytes:
        sink = Written()
        answer = CumulativeAnswer(writer.event_of, False)
        answer.token(b" one", False)
        answer.attach(sink)
        answer.token(b" two", False)
        answer.token(b" six", True)
        await answer.wait()
        return sink.data

    events = [json.loads(each[6:]) for each in asyncio.run(told()).split(b"\n\n") if each]
    assert [each["text"] for each in events] == [" one", " one two", text]
    assert events[-1]["output_ids"] == token_ids(text.encode())
    assert [each["meta_info"]["completion_tokens"] for each in events] == [1, 2, 3]
    ends = [each["meta_info"]["finish_reason"] for each in events]
    assert ends == [None, None, {"type": "length", "length": 3}]


def test_in_chunks_each_event_is_one() -> None:
    async def told() -> bytes:
        sink = Written()
        answer = CumulativeAnswer(lambda tokens, last: b"%d%d" % (tokens, last), True)
        answer.attach(sink)
        answer.token(b"abcd", False)
        answer.token(b"abcd", True)
        return sink.data

    assert asyncio.run(told()) == b"2\r\n10\r\n2\r\n21\r\n"
