"""The body of a request to a language model: what it asks for, and what is sent in its place."""

from typing import Final

import msgspec

from penstock.wire.chunked import LAST_CHUNK, ChunkedReader, as_one_chunk
from penstock.wire.forwarding import is_sealed
from penstock.wire.http1 import RequestHead
from penstock.wire.inspection import Inspection
from penstock.wire.lone_surrogates import Hidden, hide
from penstock.wire.model_name import with_model
from penstock.wire.openai import CHAT, COMPLETION, LLAMACPP, OTHER, inspect
from penstock.wire.resume.forms import comes_in_lines
from penstock.wire.resume.token_ids import wish_for_ids
from penstock.wire.usage import Wish, wish_for_usage

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_FORM: Final = b"application/x-www-form-urlencoded"


class PromptBody:
    """A whole body, read. ``data`` is what is sent, in the client's framing.

    ``decoded`` is what its content coding hides, which stays on unless the body is changed.
    """

    def __init__(
        self, api: int, head: RequestHead, data: bytes, decoded: bytes | None = None
    ) -> None:
        self.data: bytes = data
        self.asked: str = ""  # the model that the client asks for
        self.changed: bool = False  # into another than the client's
        self.asks_usage: bool = False  # in the client's stead
        self._wish: Wish | None = None  # for usage, while it asks
        self._plain: bool = True  # whether it was the client's before it asked
        self._ids: Wish | None = None  # for ids of tokens, while it asks
        self._plain_without_ids: bool = True
        self._slot: Wish | None = None  # of the engine, while it names one
        self._plain_without_slot: bool = True
        self._head: RequestHead = head
        self.is_coded: bool = decoded is not None
        if decoded is None:
            # It was read before, so it cannot be refused.
            decoded = ChunkedReader(False, 400).feed(data) if head.chunked else data
        # Before the JSON, by some editors and by PowerShell: engines skip it (RFC 8259, 8.1).
        self._mark: bytes = b""
        if decoded.startswith(_BYTE_ORDER_MARK):
            self._mark = _BYTE_ORDER_MARK
            decoded = decoded.removeprefix(_BYTE_ORDER_MARK)
        self._json: bytes = decoded
        self._hidden: Hidden | None = None  # lone surrogates in it
        self.found: Inspection = inspect(api, self._json)
        if self.found.problem and (api != OTHER or not self.found.model):
            self._hidden = hide(self._json)
            if self._hidden is not None:
                self._json = self._hidden.body
                self.found = inspect(api, self._json)
        self.asked = self.found.model

    def ask_for_model_if_any(self, default: str) -> None:
        """Ask for that model where the client names none; for none where it is empty."""
        if default and self.found.api != OTHER:
            self.ask_for_model(default)
            self.asked = self.found.model

    @property
    def json(self) -> bytes:
        """What it says, without framing."""
        return self._json

    def ask_for_model(self, name: str) -> None:
        """Ask for that model instead.

        It does not any more where a name in it, which was passed over until here, is not UTF-8.
        """
        self.ask_plainly()
        try:
            changed = self._change(with_model(self._json, name))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self.found = Inspection(self.found.api, f"the body cannot be read: {error}")
            return
        if not changed:
            self.found = Inspection(self.found.api, "a name in the body is no Unicode")
            return
        self.found = inspect(self.found.api, self._json)

    def may_ask_for_usage(self) -> bool:
        """Whether it is a stream whose engine can be asked for usage unnoticed."""
        found = self.found
        if not found.stream or (found.api != CHAT and found.api != COMPLETION):
            return False
        return found.choices == 1 and self.may_be_edited()  # each one's end is told otherwise

    def may_ask_for_slot(self) -> bool:
        """Whether it is one sequence, for whose slot the client leaves the choice (llama.cpp)."""
        found = self.found
        if found.api != CHAT and found.api != COMPLETION and found.api != LLAMACPP:
            return False
        return (
            found.single
            and found.choices == 1
            and not found.id_slot
            and not found.problem
            and self.may_be_edited()
        )

    def may_be_split(self) -> bool:
        """Whether another engine may compute the prompt: it is one sequence, for one answer."""
        found = self.found
        return (
            (found.api == CHAT or found.api == COMPLETION)
            and found.single
            and found.choices == 1
            and not found.problem
            and len(self._json) > 0
            and self._hidden is None
            and self.may_be_edited()
        )

    def may_be_edited(self) -> bool:
        """Whether another body may be sent in its place."""
        if self.is_coded or is_sealed(self._head.fields):
            return False
        # Else trailers follow, and they may speak of the body.
        return not self._head.chunked or self.data.endswith(b"\r\n" + LAST_CHUNK)

    def tells_lines(self) -> bool:
        """Whether its streamed answer comes in lines of JSON."""
        return comes_in_lines(self.found.api)

    def wants_usage(self) -> bool:
        """Whether the client asked for it."""
        return b"include_usage" in self.found.stream_options

    def sent(self) -> bytes:
        """The JSON that is sent, without a slot or a wish for ids; b"" where another may not be."""
        self.leave_ids()
        return self.json if self.may_be_edited() else b""

    def ask_for_usage(self) -> None:
        """Ask the engine to tell usage at the end of the stream, where the client did not."""
        if self.asks_usage or not self._json or not self.may_ask_for_usage():
            return
        wish = wish_for_usage(self._json, self.found.stream_options)
        plain = not self.changed
        if wish is not None and self._change(wish.written_into(self._json)):
            self.asks_usage = True
            self._wish = wish
            self._plain = plain

    def ask_plainly(self) -> bool:
        """Ask as the client did; False when it does, or when the text is not kept."""
        self.leave_ids()
        wish = self._wish
        if wish is None or not self._json:
            return False
        self._wish = None
        self.asks_usage = False
        self._change(wish.taken_out_of(self._json))
        self.changed = not self._plain
        return True

    def ask_for_slot(self, slot: int) -> bool:
        """Ask for that slot of the engine; False where it cannot be written. It is the last thing
        that is written, and the first that is taken out."""
        self.leave_slot()
        wish = Wish(self._json.find(b"{") + 1, b"", b'"id_slot":%d,' % slot)
        plain = not self.changed
        if not self._json or not self._change(wish.written_into(self._json)):
            return False
        self._slot = wish
        self._plain_without_slot = plain
        return True

    def leave_slot(self) -> None:
        """Leave it to the engine again."""
        wish = self._slot
        self._slot = None
        if wish is not None and self._json:
            self._change(wish.taken_out_of(self._json))
            self.changed = not self._plain_without_slot

    @property
    def names_slot(self) -> bool:
        """Whether it asks for one in the client's stead."""
        return self._slot is not None

    def ask_for_ids(self, api: int, way: int) -> bool:
        """Ask the engine for the ids of tokens of an answer of that API, until ``leave_ids``; False
        where that cannot be. Written before a slot and after the wish for usage."""
        if not self._json or not self.may_be_edited():
            return False
        wish = wish_for_ids(api, way, self._json)
        if not wish:
            return False
        ids = Wish(self._json.find(b"{") + 1, b"", wish)
        plain = not self.changed
        if not self._change(ids.written_into(self._json)):
            return False
        self._ids = ids
        self._plain_without_ids = plain
        return True

    def leave_ids(self) -> None:
        """Ask for no ids any more."""
        self.leave_slot()
        wish = self._ids
        self._ids = None
        if wish is not None and self._json:
            self._change(wish.taken_out_of(self._json))
            self.changed = not self._plain_without_ids

    def send(self, json: bytes) -> None:
        """Send that instead, whatever it asks for."""
        self._wish = self._slot = self._ids = None
        self._change(json)

    def drop(self) -> None:
        """Keep what was understood, not the text."""
        self.data = b""
        self.found.forget_text()
        self._json = b""

    def _change(self, json: bytes) -> bool:
        """Send that; not if it would say something else beside what was to be changed."""
        sent = json if self._hidden is None else self._hidden.restore(json)
        if not sent:
            return False
        self._json = json
        if self._mark:
            sent = self._mark + sent
        self.data = as_one_chunk(sent) if self._head.chunked else sent
        self.changed = True
        return True


def may_name_model(head: RequestHead) -> bool:
    """Whether a body of unknown form is said to be JSON, which may name a model.

    ``curl -d`` says of all that it sends that it is a form.
    """
    kind = (head.value(b"content-type") or b"").partition(b";")[0].strip().lower()
    return kind in (b"application/json", _FORM) or kind.endswith(b"+json")
