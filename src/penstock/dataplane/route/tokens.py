"""JSON Web Tokens (RFC 7519) as keys: verified once, and remembered by their hash until they end.

PyJWT verifies them; it is imported only where an issuer is configured.
"""

from importlib import import_module
from typing import Any, Final

from penstock.core.snapshot import Snapshot, TokenIssuer
from penstock.core.tenants import KeyRecord, Tenants

_MOST_REMEMBERED: Final = 10_000
_LONGEST: Final = 16_384  # bytes
_LONGEST_NAME: Final = 128  # of what a holder is called
_REQUIRED: Final = ("exp", "iss", "aud")


class Tokens:
    """What issuers' tokens let in; nobody where there are no issuers."""

    def __init__(self) -> None:
        self.on: bool = False
        self._issuers: dict[str, TokenIssuer] = {}
        self._keys: dict[str, Any] = {}  # sets of keys, by issuer
        self._jwt: Any = None
        self._remembered: dict[bytes, KeyRecord] = {}

    def configure(self, spec: Snapshot) -> None:
        """Of the snapshot that runs. Sets of keys that cannot be read let nobody in."""
        self._remembered = {}
        self._keys = {}
        self._issuers = {each.issuer: each for each in spec.token_issuers}
        self.on = len(self._issuers) > 0
        if not self.on:
            return
        self._jwt = import_module("jwt")
        for each in spec.token_issuers:
            try:
                self._keys[each.issuer] = self._jwt.PyJWKSet.from_json(each.key_set)
            except (self._jwt.PyJWTError, ValueError):
                pass  # which the supervisor told, who fetched it

    @staticmethod
    def may_be(key: bytes) -> bool:
        """Whether that may be a token, and no key."""
        return key.count(b".") == 2 and len(key) <= _LONGEST

    def remembered(self, digest: bytes) -> KeyRecord | None:
        """Of a token that was verified before, by its SHA-256."""
        return self._remembered.get(digest)

    def verify(self, token: bytes, digest: bytes, tenants: Tenants) -> KeyRecord | None:
        """Whom a token tells of; None: nobody is to be let in by it. Takes a tenth of a
        millisecond."""
        try:
            claims, issuer = self._claims(token.decode("ascii"))
        except (self._jwt.PyJWTError, ValueError, KeyError, TypeError):
            return None
        tenant = claims.get(issuer.tenant_claim)
        if not isinstance(tenant, str):
            return None
        name = claims.get(issuer.name_claim)
        called = name[:_LONGEST_NAME] if isinstance(name, str) else ""
        record = tenants.of_name(tenant, called)
        if record is None:
            return None
        record.expires_at = float(claims["exp"]) + issuer.leeway_s
        if len(self._remembered) >= _MOST_REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[digest] = record
        return record

    def _claims(self, token: str) -> tuple[dict[str, Any], TokenIssuer]:
        """Those of a token that is right. Raises PyJWTError, ValueError, KeyError, TypeError."""
        jwt = self._jwt
        unverified = jwt.decode(token, options={"verify_signature": False})
        issuer = self._issuers[str(unverified["iss"])]
        keys = self._keys[issuer.issuer]
        wanted = jwt.get_unverified_header(token).get("kid")
        fitting = [each for each in keys.keys if wanted is None or each.key_id == wanted]
        if len(fitting) != 1:
            raise KeyError("kid")
        claims: dict[str, Any] = jwt.decode(
            token,
            key=fitting[0].key,
            algorithms=list(issuer.algorithms),
            audience=list(issuer.audiences),
            issuer=issuer.issuer,
            leeway=issuer.leeway_s,
            options={"require": list(_REQUIRED)},
        )
        return claims, issuer
