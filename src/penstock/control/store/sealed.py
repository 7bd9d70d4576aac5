"""Secrets in the shared store: encrypted there, or kept from it.

AES-256-GCM of the library that certificates are fetched with (``cryptography``; the standard
library has no cipher). The key comes from the file's text by HKDF; a value says which key sealed
it, and is bound to its name, so that nobody puts one in another's place.
"""

import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256, Hash
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from penstock.control.store.store import Entry, Store, StoreError, Watch

_FORM: Final = b"\x01"
_NAME_BYTES: Final = 4  # of a key, so that it is found among several
_NONCE_BYTES: Final = 12
_HEAD_BYTES: Final = 1 + _NAME_BYTES + _NONCE_BYTES
# What keys of secrets begin with.
SECRET: Final = ("acme/", "tenants/", "sticky/")


class Seal:
    """The first of ``secrets`` encrypts, all decrypt."""

    def __init__(self, secrets: tuple[str, ...]) -> None:
        self._keys: dict[bytes, AESGCM] = {}
        self._first = b""
        for secret in secrets:
            derived = HKDF(SHA256(), 32, None, b"penstock store v1").derive(secret.encode())
            digest = Hash(SHA256())
            digest.update(derived)
            name = digest.finalize()[:_NAME_BYTES]
            self._first = self._first or name
            self._keys.setdefault(name, AESGCM(derived))

    def close(self, key: str, value: bytes) -> bytes:
        """The value as the store has it under ``key``."""
        nonce = os.urandom(_NONCE_BYTES)
        head = _FORM + self._first + nonce
        return head + self._keys[self._first].encrypt(nonce, value, key.encode())

    def open(self, key: str, sealed: bytes) -> bytes:
        """The value. Raises StoreError for what was not sealed under a key that is known."""
        name = sealed[1 : 1 + _NAME_BYTES]
        nonce = sealed[1 + _NAME_BYTES : _HEAD_BYTES]
        cipher = self._keys.get(name)
        if sealed[:1] != _FORM or cipher is None or len(nonce) != _NONCE_BYTES:
            raise StoreError(f"{key} in the store was encrypted under no key of `secrets_key_file`")
        try:
            return cipher.decrypt(nonce, sealed[_HEAD_BYTES:], key.encode())
        except InvalidTag as error:
            raise StoreError(f"{key} in the store is damaged, or belongs elsewhere") from error


class SealedStore(Store):
    """``shared``, whose secrets are sealed; without a seal they stay in ``own``."""

    def __init__(self, shared: Store, own: Store, seal: Seal | None) -> None:
        self._shared = shared
        self._own = own
        self._seal = seal

    async def get(self, key: str) -> Entry | None:
        found = await self._of(key).get(key)
        if found is None or self._seal is None or not _is_secret(key):
            return found
        return Entry(self._seal.open(key, found.value), found.revision)

    async def put_if_unchanged(self, key: str, value: bytes, revision: int) -> int | None:
        if self._seal is not None and _is_secret(key):
            value = self._seal.close(key, value)
        return await self._of(key).put_if_unchanged(key, value, revision)

    async def remove_if_unchanged(self, key: str, revision: int) -> bool:
        return await self._of(key).remove_if_unchanged(key, revision)

    async def keys(self, prefix: str) -> list[str]:
        return await self._of(prefix).keys(prefix)

    async def lease(self, name: str, holder: str, seconds: float) -> bool:
        return await self._of(name).lease(name, holder, seconds)

    async def release(self, name: str, holder: str) -> None:
        await self._of(name).release(name, holder)

    def watch(self, prefix: str) -> Watch:
        return self._of(prefix).watch(prefix)

    def _of(self, key: str) -> Store:
        return self._own if self._seal is None and _is_secret(key) else self._shared


def _is_secret(key: str) -> bool:
    return key.startswith(SECRET)
