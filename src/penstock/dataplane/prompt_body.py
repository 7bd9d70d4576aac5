"""The body of a request to a language model: what it asks for, and what is sent in its place."""

from typing import Final

import msgspec

from penstock.wire.chunked import LAST_CHUNK, ChunkedReader, as_one_chunk
from penstock.wire.forwarding import is_sealed
from penstock.wire.http1 import RequestHead
from penstock.wire.lone_surrogates import Hidden, hide
from penstock.wire.model_name import with_model
from penstock.wire.openai import CHAT, COMPLETION, OTHER, Inspection, inspect
from penstock.wire.usage import asking_for_usage

MAX_KEPT_BYTES: Final = 65536  # of a body that may have to be sent without the wish for usage
MAX_INSPECTED_BYTES: Final = 16 * 1024 * 1024  # a million tokens with images

_MAX_SHOWN_BYTES: Final = 64
_FORM: Final = b"application/x-www-form-urlencoded"


class PromptBody:
    """A whole body, read. ``data`` is what is sent, in the client's framing."""

    def __init__(self, api: int, head: RequestHead, data: bytes) -> None:
        self.data: bytes = data
        self.asked: str = ""  # the model that the client asks for
        self.changed: bool = False  # into another than the client's
        self.asks_usage: bool = False  # in the client's stead
        self._plain: tuple[bytes, bytes, bool] | None = None  # what was to be sent before it asked
        self._head: RequestHead = head
        # It was read before, so it cannot be refused.
        self._json: bytes = ChunkedReader(False, 400).feed(data) if head.chunked else data
        self._hidden: Hidden | None = None  # lone surrogates in it
        self.found: Inspection = inspect(api, self._json)
        if self.found.problem and (api != OTHER or not self.found.model):
            coding = _coding(head)
            if coding:
                self.found = Inspection(
                    api, f"the body is compressed ({coding}), which is not read"
                )
            else:
                self._hidden = hide(self._json)
            if self._hidden is not None:
                self._json = self._hidden.body
                self.found = inspect(api, self._json)
        self.asked = self.found.model

    def ask_for_model(self, name: str) -> None:
        """Ask for that model instead. The body must have named one.

        It does not any more where a name in it, which was passed over until here, is not UTF-8.
        """
        self._plain = None  # it asks for another one
        try:
            changed = self._change(with_model(self._json, name))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self.found = Inspection(self.found.api, f"the body cannot be read: {error}")
            return
        if not changed:
            self.found = Inspection(self.found.api, "a name in the body is no Unicode")
            return
        self.found = inspect(self.found.api, self._json)

    def ask_for_usage(self, *, unsure: bool = False) -> None:
        """Ask the engine to tell usage at the end of a stream, where that can be done unnoticed.

        ``unsure``: it may refuse to, and is then to be asked plainly.
        """
        found = self.found
        if not found.stream or (found.api != CHAT and found.api != COMPLETION):
            return
        if is_sealed(self._head):
            return
        if self._head.chunked and not self.data.endswith(b"\r\n" + LAST_CHUNK):
            return  # trailers follow, and they may speak of the body
        asking = asking_for_usage(self._json, found.stream_options)
        before = (self._json, self.data, self.changed)
        if asking and self._change(asking):
            self.asks_usage = True
            if unsure and len(asking) <= MAX_KEPT_BYTES:
                self._plain = before

    def ask_plainly(self) -> bool:
        """Ask as the client did, without the wish for usage; False when it is not kept."""
        plain = self._plain
        if plain is None:
            return False
        self._plain = None
        self._json, self.data, self.changed = plain
        self.asks_usage = False
        return True

    def taken(self) -> None:
        """It will not have to be asked plainly."""
        self._plain = None

    def drop(self) -> None:
        """Keep what was understood, not the text, unless it may have to be asked plainly."""
        self.data = b""
        self._json = b""

    def _change(self, json: bytes) -> bool:
        """Send that; not if it would say something else beside what was to be changed."""
        sent = json if self._hidden is None else self._hidden.restore(json)
        if not sent:
            return False
        self._json = json
        self.data = as_one_chunk(sent) if self._head.chunked else sent
        self.changed = True
        return True


def _coding(head: RequestHead) -> str:
    """How a body is compressed, as its head tells; empty where it is not."""
    coding = (head.value(b"content-encoding") or b"").strip().lower()
    return "" if coding == b"identity" else coding[:_MAX_SHOWN_BYTES].decode("latin-1")


def may_inspect(head: RequestHead) -> bool:
    """Whether a request's body can be awaited before an endpoint is chosen."""
    return head.method == b"POST" and head.content_length <= MAX_INSPECTED_BYTES


def may_name_model(head: RequestHead) -> bool:
    """Whether a body of unknown form is said to be JSON, which may name a model.

    ``curl -d`` says of all that it sends that it is a form.
    """
    kind = (head.value(b"content-type") or b"").partition(b";")[0].strip().lower()
    return kind in (b"application/json", _FORM) or kind.endswith(b"+json")
