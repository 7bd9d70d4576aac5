"""SHA-crypt, by the vectors of its specification and of glibc."""

import pytest

from penstock.wire.htpasswd import is_right, read_users
from penstock.wire.sha_crypt import MOST_ROUNDS, is_sha_crypt, sha_crypt

VECTORS = [
    (
        "Hello world!",
        "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEO"
        "faS35inz1",
    ),
    (
        "Hello world!",
        "$5$rounds=10000$saltstringsaltst$3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA",
    ),
]


@pytest.mark.parametrize(("password", "hashed"), VECTORS)
def test_passwords_are_known_by_their_hashes(password: str, hashed: str) -> None:
    assert sha_crypt(password.encode(), hashed) == hashed
    assert read_users(f"ada:{hashed}\n") == {"ada": hashed}
    assert is_right(hashed, password.encode())
    assert not is_right(hashed, b"hello world!")
    assert not is_right(hashed, b"")


def test_what_would_take_too_long_is_refused() -> None:
    """Rounds cost time in proportion, a password's length with its square."""
    assert not is_sha_crypt(f"$6$rounds={MOST_ROUNDS + 1}$salt${'x' * 86}")
    assert sha_crypt(b"x" * 513, VECTORS[0][1]) == ""
    with pytest.raises(ValueError, match="line 1"):
        read_users(f"ada:$6$rounds={MOST_ROUNDS + 1}$salt${'x' * 86}")


@pytest.mark.parametrize(
    "hashed", ["$6$salt", "$5$rounds=x$salt$y", "$6$rounds=5000$salt", "$1$a$b"]
)
def test_what_is_none_is_none(hashed: str) -> None:
    assert not is_sha_crypt(hashed)
