"""Sticky sessions: a signed cookie value that names an endpoint to us and to nobody else.

    value = base64url(id ‖ tag)       id  = HMAC(key, "id" ‖ pool ‖ endpoint), 9 bytes
                                      tag = HMAC(key, "tag" ‖ pool ‖ id), 15 bytes

with HMAC-SHA256 (RFC 2104, truncated as its section 5 allows). The id is keyed, so it cannot be
matched against guessed addresses, and it is the same in every worker and after every restart. The
first key signs, every key is accepted: to rotate, put a new key in front and drop the last one
when the cookies it signed have expired.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from hmac import compare_digest
from hmac import new as new_hmac
from typing import Final

_ID_BYTES: Final = 9
_TAG_BYTES: Final = 15
VALUE_LENGTH: Final = (_ID_BYTES + _TAG_BYTES) * 4 // 3


class StickyCookies:
    """Signs and reads the cookie values of one pool."""

    def __init__(self, pool: str, keys: tuple[str, ...]) -> None:
        """Raises ValueError without a key."""
        if not keys:
            raise ValueError(f"sticky sessions of pool {pool!r} need at least one key")
        self._pool: str = pool
        self._keys: list[bytes] = [key.encode() for key in keys]
        self._values: dict[str, str] = {}  # endpoint name → value under the first key
        self._names: list[dict[bytes, str]] = [{} for _ in keys]  # id → endpoint name, by key

    def replace_endpoints(self, names: list[str]) -> None:
        """The pool's members are these. Only those that are new cost a signature."""
        signed_before = self._values
        self._values = {name: signed_before.get(name) or self._sign(name) for name in names}
        members = self._values.keys()
        for number, key in enumerate(self._keys):
            known = {name: id_ for id_, name in self._names[number].items() if name in members}
            self._names[number] = {
                known.get(name) or _id(key, self._pool, name): name for name in names
            }

    def value_for(self, name: str) -> str:
        """The value that returns a client to this endpoint. Raises KeyError if it is no member."""
        return self._values[name]

    def endpoint_of(self, value: str) -> str:
        """The member that a value names; empty when it is forged, foreign, or names nobody here."""
        if len(value) != VALUE_LENGTH:
            return ""
        try:
            signed = urlsafe_b64decode(value)
        except ValueError:
            return ""
        if len(signed) != _ID_BYTES + _TAG_BYTES:
            return ""
        id_ = signed[:_ID_BYTES]
        tag = signed[_ID_BYTES:]
        for number, key in enumerate(self._keys):
            if compare_digest(tag, self._tag(key, id_)):
                return self._names[number].get(id_, "")
        return ""

    def needs_renewal(self, value: str) -> bool:
        """Whether a value that was accepted is signed with another key than the first."""
        return value != self._values.get(self.endpoint_of(value), "")

    def _sign(self, name: str) -> str:
        id_ = _id(self._keys[0], self._pool, name)
        return urlsafe_b64encode(id_ + self._tag(self._keys[0], id_)).decode()

    def _tag(self, key: bytes, id_: bytes) -> bytes:
        return _digest(key, "tag", self._pool, id_)[:_TAG_BYTES]


def _id(key: bytes, pool: str, name: str) -> bytes:
    return _digest(key, "id", pool, name.encode())[:_ID_BYTES]


def _digest(key: bytes, use: str, pool: str, rest: bytes) -> bytes:
    return new_hmac(key, f"{use}\0{pool}\0".encode() + rest, sha256).digest()
