"""Files of users and hashed passwords, as Apache's ``htpasswd`` writes them.

Read are bcrypt (``htpasswd -B``), Apache's MD5 (``apr1``, its default), SHA-512 and SHA-256 of
crypt (``-5``, ``-2``) and SHA-1; not DES of crypt and plain text, which are no protection. Source
of ``apr1``: Apache's documentation, "Password Formats", and Poul-Henning Kamp's scheme of FreeBSD,
which it is but for its name.
"""

from base64 import b64encode
from hashlib import md5, sha1
from hmac import compare_digest
from importlib import import_module
from typing import Any, Final

from penstock.wire.sha_crypt import is_sha_crypt, sha_crypt, sixes

_BCRYPT: Final = ("$2y$", "$2a$", "$2b$")
_APR1: Final = "$apr1$"
_SHA1: Final = "{SHA}"
_MOST_PASSWORD: Final = 72  # bytes that bcrypt looks at; 5.0 refuses longer ones


def read_users(text: str) -> dict[str, str]:
    """Hashes by the names of users. Raises ValueError, with the line."""
    users: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        name, colon, hashed = line.partition(":")
        if not colon or not name:
            raise ValueError(f"line {number} is not `user:hash`")
        if not is_read(hashed):
            raise ValueError(
                f"line {number}: the password of {name} is hashed in a way that is not read: "
                f"`htpasswd -B FILE {name}` writes it by bcrypt"
            )
        users[name] = hashed
    return users


def is_read(hashed: str) -> bool:
    """Whether it is hashed in a way that is read here."""
    return hashed.startswith((*_BCRYPT, _APR1, _SHA1)) or is_sha_crypt(hashed)


def needs_bcrypt(users: dict[str, str]) -> bool:
    """Whether the library of that name has to be there."""
    return any([hashed.startswith(_BCRYPT) for hashed in users.values()])


def is_right(hashed: str, password: bytes) -> bool:
    """Whether that is the password. By bcrypt it takes tens of milliseconds or more."""
    if hashed.startswith(_SHA1):
        digest = b64encode(sha1(password, usedforsecurity=False).digest()).decode()
        return compare_digest(hashed.removeprefix(_SHA1), digest)
    if hashed.startswith(_APR1):
        salt = hashed.split("$")[2]
        return compare_digest(hashed, apr1(password, salt))
    if is_sha_crypt(hashed):
        return compare_digest(hashed, sha_crypt(password, hashed))
    bcrypt: Any = import_module("bcrypt")
    try:
        return bool(bcrypt.checkpw(password[:_MOST_PASSWORD], hashed.encode()))
    except ValueError:
        return False


def apr1(password: bytes, salt: str) -> str:
    """Of that salt."""
    salted = salt.encode()
    final = md5(password + salted + password, usedforsecurity=False).digest()
    mixed = password + _APR1.encode() + salted
    left = len(password)
    while left > 0:
        mixed += final[: min(16, left)]
        left -= 16
    left = len(password)
    while left:
        mixed += b"\0" if left & 1 else password[:1]
        left >>= 1
    final = md5(mixed, usedforsecurity=False).digest()
    for turn in range(1000):
        piece = password if turn & 1 else final
        if turn % 3:
            piece += salted
        if turn % 7:
            piece += password
        piece += final if turn & 1 else password
        final = md5(piece, usedforsecurity=False).digest()
    out = b""
    for first, second, third in ((0, 6, 12), (1, 7, 13), (2, 8, 14), (3, 9, 15), (4, 10, 5)):
        out += sixes(final[first] << 16 | final[second] << 8 | final[third], 4)
    out += sixes(final[11], 2)
    return f"{_APR1}{salt}${out.decode()}"
