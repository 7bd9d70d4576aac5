"""What is known of an answer while it passes."""

from random import Random

from penstock.core.env import Env
from penstock.dataplane.llm.answer_reading import AnswerReading


def test_tokens_of_a_stream_are_counted_by_its_events() -> None:
    reading = AnswerReading(streamed=True, chunked=False, env=Env(Random(1)))
    assert reading.tokens() == 0
    event = b'data: {"choices": [{"delta": {"content": "a"}}]}\n\n'
    assert reading.pass_on(event + event[:20], complete=False) == event + event[:20]
    assert reading.tokens() == 1
    reading.pass_on(event[20:] + b"data: [DONE]\n\n", complete=True)
    assert reading.tokens() == 2
