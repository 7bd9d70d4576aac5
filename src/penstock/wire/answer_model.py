"""The name of the model in an answer, as the client asked for it."""

import json
import re
from typing import Final

import msgspec

_LONGEST_BYTES: Final = 65536  # of a line, or of the front of a whole answer, that is held


class ModelRenamer:
    """Of one answer, which goes through as payload.

    The key ``model`` with the name of the model that answered gets the other name; inside of a text
    the quotes would be escaped. A line that comes in pieces is passed on when it is whole.
    """

    def __init__(self, served: str, asked: str, *, streamed: bool) -> None:
        # Engines escape what is not ASCII, or not.
        names = {msgspec.json.encode(served), json.dumps(served).encode()}
        named = b"|".join([re.escape(name) for name in names])
        self._named: re.Pattern[bytes] = re.compile(rb'("model"\s*+:\s*+)(?:%b)' % named)
        self._new: bytes = msgspec.json.encode(asked).replace(b"\\", b"\\\\")
        self._streamed: bool = streamed
        self._held: bytes = b""
        self._passing: bool = False  # the rest of what was too long to hold

    def feed(self, data: bytes, complete: bool) -> bytes:
        """What the client gets of the next bytes, cut anywhere."""
        if self._passing and not self._streamed:
            return data
        data = self._held + data
        end = data.rfind(b"\n") + 1 if self._streamed else 0
        if complete or len(data) - end > _LONGEST_BYTES:
            end = len(data)
            self._passing = True
        self._held = data[end:]
        return self._named.sub(rb"\1" + self._new, data[:end]) if end else b""
