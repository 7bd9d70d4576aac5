"""Files of htpasswd: what is read, and which passwords are right."""

import pytest

from penstock.wire.htpasswd import apr1, is_right, needs_bcrypt, read_users

LONG = "a-rather-long-password-of-more-than-sixteen"


@pytest.mark.parametrize(
    ("password", "hashed"),
    [  # by openssl passwd -apr1
        ("myPassword", "$apr1$lZL6Vci0$Z2deYauZ2K4msDwkYHkiK0"),
        ("x", "$apr1$lZL6Vci0$FmluAPQmt5mV65vhFMMcf/"),
        (LONG, "$apr1$lZL6Vci0$/LoVb9FqnxVYPOlBm14VH0"),
        ("secret", "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="),
        ("secret", "$2b$04$.h7l9ZDmprZwiPKDLXqFI.S7EF98IpbfPTeUECbvONT04BgK/5puS"),
        ("secret", "$2y$04$.h7l9ZDmprZwiPKDLXqFI.S7EF98IpbfPTeUECbvONT04BgK/5puS"),
    ],
)
def test_passwords_are_told_right_from_wrong(password: str, hashed: str) -> None:
    assert is_right(hashed, password.encode())
    assert not is_right(hashed, password.encode() + b"!")
    assert not is_right(hashed, b"")


def test_longer_ones_than_bcrypt_looks_at_raise_nothing() -> None:
    assert not is_right("$2b$04$.h7l9ZDmprZwiPKDLXqFI.S7EF98IpbfPTeUECbvONT04BgK/5puS", b"a" * 200)
    assert not is_right("$2b$04$short", b"secret")


def test_users_are_read_with_comments_and_empty_lines() -> None:
    text = f"# staff\n\nalice:{apr1(b'secret', 'salt')}\nbob:{{SHA}}abc\n"
    users = read_users(text)
    assert list(users) == ["alice", "bob"]
    assert not needs_bcrypt(users)
    assert needs_bcrypt({"carol": "$2y$05$abc"})


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("alice", "line 1 is not `user:hash`"),
        ("\nalice:plain", "line 2: the password of alice is hashed in a way that is not read"),
        ("alice:$6$salt$hash", "htpasswd -B"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line(text: str, error: str) -> None:
    with pytest.raises(ValueError, match=r"line") as caught:
        read_users(text)
    assert error in str(caught.value)
