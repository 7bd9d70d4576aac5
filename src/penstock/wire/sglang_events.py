"""Reads along in an answer of SGLang's own API (``/generate``): usage and end stand beside the
text, in every event for all that came so far, so that the last one alone is read."""

from typing import Final

import msgspec

from penstock.wire import sglang_bodies as bodies
from penstock.wire.sse import SseMeter

_FAILED: Final = b'"error"'
_FAILURE_BYTES: Final = 64  # of an event or answer that is an error, where it says so
_MAX_SHOWN: Final = 256  # characters of an error
ABORT: Final = "abort"  # the end of an answer that its engine gave up


class GenerateMeter(SseMeter):
    """Of one stream, or of a whole answer. Of several prompts the tokens are added up."""

    def read(self, line: bytes) -> None:
        """Take usage and end from one JSON text: an event, or a whole answer."""
        if line.find(_FAILED, 0, _FAILURE_BYTES) >= 0 and self._take_failure(line):
            return
        try:
            read = bodies.answers.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        for each in read if isinstance(read, list) else [read]:
            meta = each.meta_info
            if meta is None:
                continue
            kind, message = end_in(meta.finish_reason)
            self.finish_reason = kind
            if kind == ABORT:
                self.finish_reason = "error"
                self.failure = message
            self.prompt_tokens = _with(self.prompt_tokens, meta.prompt_tokens)
            self.cached_tokens = _with(self.cached_tokens, meta.cached_tokens)
            self.output_tokens = _with(self.output_tokens, meta.completion_tokens)


def end_in(reason: object) -> tuple[str, str]:
    """Why an answer ended, in a word, and the message of one that was given up."""
    if isinstance(reason, dict):
        message = reason.get("message")
        return str(reason.get("type") or ""), str(message or "it was aborted")[:_MAX_SHOWN]
    return (reason, "it was aborted") if isinstance(reason, str) else ("", "")


def _with(before: int, count: int | None) -> int:
    """What was told so far, and this; -1 where nothing was."""
    if count is None or not 0 <= count <= 1 << 30:
        return before
    return max(before, 0) + count
