"""Passwords hashed by SHA-256 and SHA-512 of crypt: ``$5$`` and ``$6$`` (`htpasswd -2` and `-5`).

Source: Ulrich Drepper, "Unix crypt using SHA-256 and SHA-512" (akkadia.org/drepper/SHA-crypt.txt).
"""

from hashlib import sha256, sha512
from typing import Final

SHA256: Final = "$5$"
SHA512: Final = "$6$"
_ROUNDS: Final = "rounds="
_USUAL_ROUNDS: Final = 5000
_LEAST_ROUNDS: Final = 1000
# The scheme allows a thousand times as many: whoever may write such a file could stop a worker.
MOST_ROUNDS: Final = 1_000_000
_MOST_SALT: Final = 16
_MOST_PASSWORD: Final = 512  # bytes: what they cost grows with the square
_ITOA64: Final = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# In which order bytes of the digest are written, three at a time.
_ORDER_256: Final[tuple[tuple[int, int, int], ...]] = (
    (0, 10, 20),
    (21, 1, 11),
    (12, 22, 2),
    (3, 13, 23),
    (24, 4, 14),
    (15, 25, 5),
    (6, 16, 26),
    (27, 7, 17),
    (18, 28, 8),
    (9, 19, 29),
)
_ORDER_512: Final[tuple[tuple[int, int, int], ...]] = (
    (0, 21, 42),
    (22, 43, 1),
    (44, 2, 23),
    (3, 24, 45),
    (25, 46, 4),
    (47, 5, 26),
    (6, 27, 48),
    (28, 49, 7),
    (50, 8, 29),
    (9, 30, 51),
    (31, 52, 10),
    (53, 11, 32),
    (12, 33, 54),
    (34, 55, 13),
    (56, 14, 35),
    (15, 36, 57),
    (37, 58, 16),
    (59, 17, 38),
    (18, 39, 60),
    (40, 61, 19),
    (62, 20, 41),
)


def is_sha_crypt(hashed: str) -> bool:
    """Whether it is of this kind, and of no more than ``MOST_ROUNDS``."""
    if not hashed.startswith((SHA256, SHA512)):
        return False
    parts = hashed[3:].split("$")
    if len(parts[-1]) != (86 if hashed.startswith(SHA512) else 43):
        return False
    if not parts[0].startswith(_ROUNDS):
        return len(parts) == 2
    rounds = parts[0].removeprefix(_ROUNDS)
    return len(parts) == 3 and rounds.isdecimal() and int(rounds) <= MOST_ROUNDS


def sha_crypt(password: bytes, setting: str) -> str:
    """Hashed as ``setting`` says, which may be a whole hash; "" for a password that is too long.

    By 5,000 rounds it takes some milliseconds.
    """
    if len(password) > _MOST_PASSWORD:
        return ""
    kind = setting[:3]
    parameters, _, rest = setting[3:].partition("$")
    rounds, told = _USUAL_ROUNDS, ""
    if parameters.startswith(_ROUNDS):
        asked = int(parameters.removeprefix(_ROUNDS))
        rounds = min(max(asked, _LEAST_ROUNDS), MOST_ROUNDS)
        told = f"{_ROUNDS}{rounds}$"
        parameters = rest.partition("$")[0]
    salt = parameters[:_MOST_SALT]
    digest = _digest(password, salt.encode(), rounds, kind == SHA512)
    return f"{kind}{told}{salt}${_written(digest).decode()}"


def _hash(data: bytes, long: bool) -> bytes:
    return sha512(data).digest() if long else sha256(data).digest()


def _digest(password: bytes, salt: bytes, rounds: int, long: bool) -> bytes:
    other = _hash(password + salt + password, long)
    mixed = password + salt + _as_long_as(password, other)
    left = len(password)
    while left:
        mixed += other if left & 1 else password
        left >>= 1
    digest = _hash(mixed, long)
    passwords = _as_long_as(password, _hash(password * len(password), long))
    salts = _as_long_as(salt, _hash(salt * (16 + digest[0]), long))
    for turn in range(rounds):
        piece = passwords if turn & 1 else digest
        if turn % 3:
            piece += salts
        if turn % 7:
            piece += passwords
        piece += digest if turn & 1 else passwords
        digest = _hash(piece, long)
    return digest


def _as_long_as(text: bytes, digest: bytes) -> bytes:
    """The digest, repeated and cut to the length of the text."""
    return (digest * (len(text) // len(digest) + 1))[: len(text)]


def _written(digest: bytes) -> bytes:
    out = b""
    if len(digest) == 64:
        for first, second, third in _ORDER_512:
            out += sixes(digest[first] << 16 | digest[second] << 8 | digest[third], 4)
        return out + sixes(digest[63], 2)
    for first, second, third in _ORDER_256:
        out += sixes(digest[first] << 16 | digest[second] << 8 | digest[third], 4)
    return out + sixes(digest[31] << 8 | digest[30], 3)


def sixes(value: int, count: int) -> bytes:
    """So many characters of crypt's base 64, the lowest six bits first."""
    out = b""
    for _ in range(count):
        out += _ITOA64[value & 63 : (value & 63) + 1]
        value >>= 6
    return out
