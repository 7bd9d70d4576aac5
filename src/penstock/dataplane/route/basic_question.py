"""The user and password that a head shows (RFC 7617), on a route that asks for them."""

from base64 import b64decode
from binascii import Error
from hashlib import sha256

from penstock.core.snapshot import BasicAuth
from penstock.dataplane.route.auth_verdicts import AuthVerdict
from penstock.wire.forwarding import Edit
from penstock.wire.htpasswd import is_right
from penstock.wire.http1 import Field, RequestHead


class BasicQuestion:
    """Of one head. ``user`` is "" where none is shown."""

    def __init__(self, spec: BasicAuth, head: RequestHead) -> None:
        self.spec: BasicAuth = spec
        self.user, self._password = _shown(head)
        self._hash: str = spec.users.get(self.user, "")
        self.known: bool = self._hash != ""
        hashed = sha256(f"{self.user}\0{self._hash}\0".encode())
        hashed.update(self._password)
        self.digest: bytes = b"basic" + hashed.digest()
        self.taken_out: list[Edit] = [("remove", b"Authorization", b"authorization", b"")]
        if spec.user_header:
            name = spec.user_header.encode()
            self.taken_out.append(("remove", name, name.lower(), b""))

    def check(self) -> AuthVerdict:
        """Takes long: for a thread. A user that is not known takes as long as one that is."""
        stands_in = next(iter(self.spec.users.values()), "")
        right = is_right(self._hash or stands_in, self._password) and self.known
        return self.yes() if right else self.no()

    def yes(self) -> AuthVerdict:
        """It is the user's password."""
        fields: list[Field] = []
        if self.spec.user_header:
            name = self.spec.user_header.encode()
            fields.append((name.lower(), name, self.user.encode("utf-8")))
        return AuthVerdict(200, fields, b"")

    def no(self) -> AuthVerdict:
        """It is not, or none is shown."""
        realm = self.spec.realm.replace("\\", "\\\\").replace('"', '\\"')
        challenge = f'Basic realm="{realm}", charset="UTF-8"'.encode()
        return AuthVerdict(
            401,
            [
                (b"content-type", b"Content-Type", b"text/plain; charset=utf-8"),
                (b"www-authenticate", b"WWW-Authenticate", challenge),
            ],
            b"a user and a password are needed\n",
            "no user, or a wrong password",
        )


def _shown(head: RequestHead) -> tuple[str, bytes]:
    scheme, _, told = (head.value(b"authorization") or b"").partition(b" ")
    if scheme.lower() != b"basic":
        return "", b""
    try:
        user, colon, password = b64decode(told.strip(), validate=True).partition(b":")
        return (user.decode("utf-8"), password) if colon else ("", b"")
    except (Error, UnicodeDecodeError):
        return "", b""
