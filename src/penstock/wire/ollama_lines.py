"""Reads along in an answer of Ollama's own API: lines of JSON, of which the last tells the counts
(Ollama, docs/api.md)."""

from typing import Final

import msgspec

from penstock.wire import openai_bodies as bodies
from penstock.wire.sse import SseMeter

_LONGEST_BYTES: Final = 1024 * 1024  # of a line; a longer one is counted and not read
_FAILED: Final = b'"error"'
_FAILURE_BYTES: Final = 64  # of a line that is an error, where it says so
_DONE: Final = b'"done":true'
_MAX_SHOWN: Final = 256  # characters of an error


class LineMeter(SseMeter):
    """Of one stream, or of a whole answer. Each line brings a token, but for the last."""

    def __init__(self) -> None:
        super().__init__()
        self._rest: bytes = b""  # of a line that is not whole
        self._overlong: bool = False

    def feed(self, data: bytes) -> None:
        """The next bytes of the stream, cut anywhere."""
        if self._rest:
            data = self._rest + data
            self._rest = b""
        start = 0
        end = data.find(b"\n")
        while end >= 0:
            if self._overlong:
                self._overlong = False
                self.events += 1
            elif end > start:
                self._take(data[start:end])
            start = end + 1
            end = data.find(b"\n", start)
        rest = data[start:]
        self._overlong = self._overlong or len(rest) > _LONGEST_BYTES
        if not self._overlong:
            self._rest = rest

    def end(self) -> None:
        """The stream ended."""
        if self._rest:
            self.feed(b"\n")

    def _take(self, line: bytes) -> None:
        self.events += 1
        failed = line.find(_FAILED, 0, _FAILURE_BYTES) >= 0
        if not self.begun or failed or _DONE in line or b'"done": true' in line:
            self.read(line)

    def read(self, line: bytes) -> None:
        """Take what one JSON text tells: a line, or a whole answer."""
        try:
            read = bodies.ollama_line.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self.begun = True  # of what is not understood nothing is held back
            return
        if read.error:
            self.failure = str(read.error)[:_MAX_SHOWN]
            self.finish_reason = "error"
            return
        self.begun = self.begun or _brings_any(read)
        if not read.done:
            return
        self.done = True
        self.finish_reason = read.done_reason or "stop"
        if read.prompt_eval_count is not None and read.prompt_eval_count >= 0:
            self.prompt_tokens = read.prompt_eval_count
        if read.eval_count is not None and read.eval_count >= 0:
            self.output_tokens = read.eval_count


def _brings_any(read: bodies.OllamaLine) -> bool:
    """Whether a line brings any of an answer."""
    message = read.message
    if message is not None and (message.content or message.thinking or message.tool_calls):
        return True
    return bool(read.response or read.thinking or read.done)
