"""The name of the model in a request's body: written anew, or found without reading all of it."""

import re
from typing import Final

import msgspec

MAX_NAME: Final = 4096  # some are paths. Names are kept, and clients choose them
LONG_BYTES: Final = 1024 * 1024  # a body that others would wait for, were it taken apart
FRONT_BYTES: Final = 65536  # of a long body, in which its model is looked for
_MAX_PART_HEAD_BYTES: Final = 4096
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"

_body = msgspec.json.Decoder(dict[str, msgspec.Raw])
_text = msgspec.json.Decoder(str)

_SPACE: Final = re.compile(rb"[ \t\r\n]*+")
_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_ATOM: Final = re.compile(rb"[-+.0-9a-zA-Z]++(?=[^-+.0-9a-zA-Z])")
# A text that is whole, a text that is not, or a bracket.
_NESTING: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"|"|[\[\]{}]', re.DOTALL)

_BOUNDARY: Final = re.compile(rb';\s*boundary=(?:"([^"\\]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE)
_NAMED_MODEL: Final = re.compile(
    rb'^content-disposition:\s*form-data\b(?![^\r\n]*;\s*filename)[^\r\n]*;\s*name=(?:"model"|model\b)',
    re.IGNORECASE | re.MULTILINE,
)


def with_model(body: bytes, name: str) -> bytes:
    """The same JSON object, which can be read, for that model; all other values keep their bytes.

    Of a key that stands there several times the last one is kept, as engines read it. Raises
    msgspec.DecodeError when it is no object, UnicodeDecodeError when a key is not UTF-8.
    """
    if len(body) > LONG_BYTES:
        place = model_at_front(body)
        if place is not None and body.count(b'"model"') == 1:
            return place.renamed(body, name)
    fields = _body.decode(body)
    pieces: list[bytes] = []
    if "model" not in fields:
        pieces.append(b'"model":' + msgspec.json.encode(name))
    for key, value in fields.items():
        text = msgspec.json.encode(name) if key == "model" else bytes(value)
        pieces.append(msgspec.json.encode(key) + b":" + text)
    return b"{" + b",".join(pieces) + b"}"


class ModelPlace:
    """Where a body names its model: ``body[start:end]``, in JSON or bare."""

    def __init__(self, name: str, start: int, end: int, *, quoted: bool) -> None:
        self.name: str = name
        self.start: int = start
        self.end: int = end
        self._quoted: bool = quoted

    def renamed(self, body: bytes, name: str) -> bytes:
        """The body, or its beginning, with another name there and all else as it is."""
        text = msgspec.json.encode(name) if self._quoted else name.encode("utf-8", "surrogatepass")
        return body[: self.start] + text + body[self.end :]


def model_at_front(body: bytes) -> ModelPlace | None:
    """The model that a JSON object names within its first bytes; of a body, or its beginning.

    None when it is not there, or not yet. What stands before it is skipped, not checked.
    """
    body = body[:FRONT_BYTES]
    at = len(_BYTE_ORDER_MARK) if body.startswith(_BYTE_ORDER_MARK) else 0
    at = _after_space(body, at)
    if body[at : at + 1] != b"{":
        return None
    at += 1
    while True:
        key = _STRING.match(body, _after_space(body, at))
        if key is None:
            return None
        at = _after_space(body, key.end())
        if body[at : at + 1] != b":":
            return None
        at = _after_space(body, at + 1)
        end = _value_end(body, at)
        if end < 0:
            return None
        if key[0] == b'"model"':
            return _place(body, at, end)
        at = _after_space(body, end)
        if body[at : at + 1] != b",":
            return None
        at += 1


def _place(body: bytes, start: int, end: int) -> ModelPlace | None:
    try:
        name = _text.decode(body[start:end])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return ModelPlace(name, start, end, quoted=True) if len(name) <= MAX_NAME else None


def _after_space(body: bytes, at: int) -> int:
    found = _SPACE.match(body, at)
    return found.end() if found is not None else at


def _value_end(body: bytes, at: int) -> int:
    """Where the value ends that begins there; -1 when that is further on."""
    first = body[at : at + 1]
    if first == b'"':
        found = _STRING.match(body, at)
        return found.end() if found is not None else -1
    if first != b"{" and first != b"[":
        found = _ATOM.match(body, at)
        return found.end() if found is not None else -1
    depth = 0
    for found in _NESTING.finditer(body, at):
        mark = found[0]
        if mark == b"[" or mark == b"{":
            depth += 1
        elif mark == b"]" or mark == b"}":
            depth -= 1
            if depth == 0:
                return found.end()
        elif mark == b'"':
            return -1
    return -1


def boundary_of(content_type: bytes) -> bytes:
    """Of a form in parts (RFC 7578), as its Content-Type tells; empty for anything else."""
    kind, _, _ = content_type.partition(b";")
    if kind.strip().lower() != b"multipart/form-data":
        return b""
    found = _BOUNDARY.search(content_type)
    if found is None:
        return b""
    quoted: bytes | None = found[1]
    return quoted if quoted is not None else bytes(found[2])


class FormScanner:
    """Looks for the part called ``model`` while a form comes; the bytes of files are skipped."""

    def __init__(self, boundary: bytes) -> None:
        self.found: ModelPlace | None = None
        self.done: bool = False  # it was found, or will not be
        self._delimiter: bytes = b"\r\n--" + boundary
        # A delimiter stands at the beginning without the line's end before it.
        self._pending: bytes = b"\r\n"
        self._base: int = -2  # where in the body what is pending begins
        self._in_head: bool = False

    def feed(self, data: bytes) -> None:
        """The next bytes of the body."""
        if self.done:
            return
        data = self._pending + data
        at = 0
        while not self.done:
            if not self._in_head:
                found = data.find(self._delimiter, at)
                if found < 0:
                    at = max(at, len(data) - len(self._delimiter) + 1)
                    break
                at = found
                behind = at + len(self._delimiter)
                if data[behind : behind + 2] == b"--":
                    self.done = True
                    break
                if len(data) < behind + 2:
                    break
                at = behind
                self._in_head = True
            end = data.find(b"\r\n\r\n", at)
            if end < 0:
                self.done = len(data) - at > _MAX_PART_HEAD_BYTES
                break
            if _NAMED_MODEL.search(data[at:end]) is not None:
                self._take(data, end + 4)
                break
            self._in_head = False
            at = end + 2  # an empty part's delimiter may begin with the end of its head
        self._base += at
        self._pending = data[at:] if not self.done else b""

    def _take(self, data: bytes, start: int) -> None:
        end = data.find(self._delimiter, start - 2)
        if end < 0:
            self.done = len(data) - start > MAX_NAME
            return
        self.done = True
        try:
            name = data[start:end].decode()
        except UnicodeDecodeError:
            return
        if 0 < len(name) <= MAX_NAME:
            base = self._base
            self.found = ModelPlace(name, base + start, base + end, quoted=False)
