"""Tenants' keys, found by their SHA-256.

A key has 256 random bits, or at least 32 characters that somebody chose: so a fast hash is enough
to keep it by, and a wrong one costs no more than a look-up.
"""

from binascii import unhexlify
from hashlib import sha256
from typing import Final

from penstock.core.caller import Caller
from penstock.core.limits.rules import Rule, rules_of
from penstock.core.pool.model_names import other_spelling
from penstock.core.snapshot import Key, Snapshot, Tenant

# Why nobody is let in by a key.
UNKNOWN: Final = "the key is not known"
EXPIRED: Final = "the key has expired"
REVOKED: Final = "the key was revoked"

_NO_MODELS: Final[frozenset[str]] = frozenset()
_NO_ALIASES: Final[dict[str, str]] = {}


def digest_of(key: bytes) -> bytes:
    """What a key is known by."""
    return sha256(key).digest()


class KeyRecord:
    """What one key, or one certificate, lets its holder do."""

    def __init__(self, tenant: Tenant, key: Key | None, caller: Caller, rules: list[Rule]) -> None:
        self.caller: Caller = caller
        self.rules: list[Rule] = rules if key is None else rules + rules_of(key.limits)
        self.expires_at: float = key.expires_at if key is not None else 0.0
        self.revoked: bool = key is not None and key.revoked
        self.aliases: dict[str, str] = tenant.aliases or _NO_ALIASES
        self._of_tenant: frozenset[str] = frozenset(tenant.models) or _NO_MODELS
        self._of_key: frozenset[str] = frozenset(key.models if key is not None else ())
        self.is_restricted: bool = len(self._of_tenant) > 0 or len(self._of_key) > 0

    def why_not(self, wall_s: float) -> str:
        """Why it lets nobody in now, in seconds since 1970; "" where it does."""
        if self.revoked:
            return REVOKED
        if 0.0 < self.expires_at <= wall_s:
            return EXPIRED
        return ""

    def allows(self, model: str) -> bool:
        """Whether requests may name that model; "": none is known to be named."""
        if not self.is_restricted:
            return True
        if self._of_tenant and model not in self._of_tenant:
            return False
        return not self._of_key or model in self._of_key

    def may_ask(self, name: str) -> bool:
        """Whether requests may name that model: itself, or by an alias of the tenant's."""
        if self.allows(name) or (name in self.aliases and self.allows(self.aliases[name])):
            return True
        other = other_spelling(name)  # of the same model
        return other != "" and self.allows(other)

    def allowed(self) -> list[str]:
        """The models that it may name, where it is restricted."""
        if not self._of_key:
            return sorted(self._of_tenant)
        return sorted(each for each in self._of_key if self.allows(each))


class Tenants:
    """All keys of one snapshot."""

    def __init__(self) -> None:
        self._by_digest: dict[bytes, KeyRecord] = {}
        self._by_certificate: dict[str, KeyRecord] = {}
        self._by_name: dict[str, Tenant] = {}
        self._rules: dict[str, list[Rule]] = {}

    def configure(self, spec: Snapshot) -> None:
        """Those of the file first; of a name that stands in both, the directory adds keys."""
        by_digest: dict[bytes, KeyRecord] = {}
        by_certificate: dict[str, KeyRecord] = {}
        self._by_name = {}
        self._rules = {}
        configured = {tenant.name: tenant for tenant in spec.tenants}
        for tenant in [*spec.tenants, *spec.found_tenants]:
            rules = configured.get(tenant.name, tenant)
            held_to = self._rules.get(rules.name)
            if held_to is None:
                held_to = self._rules[rules.name] = rules_of(rules.limits)
            self._by_name[rules.name] = rules
            for key in tenant.keys:
                caller = Caller(rules.name, key.name, rules.priority_class, weight=rules.weight)
                digest = unhexlify(key.sha256)
                if digest not in by_digest:
                    by_digest[digest] = KeyRecord(rules, key, caller, held_to)
            for name in tenant.certificates:
                caller = Caller(rules.name, "", rules.priority_class, weight=rules.weight)
                by_certificate.setdefault(name, KeyRecord(rules, None, caller, held_to))
        self._by_digest = by_digest
        self._by_certificate = by_certificate

    def by_digest(self, digest: bytes) -> KeyRecord | None:
        """The record of a key by its SHA-256."""
        return self._by_digest.get(digest)

    def of_name(self, tenant: str, called: str) -> KeyRecord | None:
        """A record for somebody of a tenant by other means than its keys."""
        found = self._by_name.get(tenant)
        if found is None:
            return None
        caller = Caller(found.name, called, found.priority_class, weight=found.weight)
        return KeyRecord(found, None, caller, self._rules[found.name])

    def by_certificate(self, shown: Caller, common_name: str) -> KeyRecord | None:
        """The record of a client by its verified certificate: its fingerprint, its subject, or its
        common name, in that order."""
        for name in (shown.fingerprint, shown.certificate, common_name):
            if name:
                found = self._by_certificate.get(name)
                if found is not None:
                    return found
        return None
