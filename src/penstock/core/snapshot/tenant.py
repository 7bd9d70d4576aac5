"""Who may ask: tenants, and the keys by which they are known."""

from __future__ import annotations

from msgspec import field

from penstock.core.snapshot.data import Data
from penstock.core.snapshot.limit import Limit


class Key(Data, frozen=True):
    """One key of a tenant. Of the key itself only its SHA-256 is known."""

    name: str
    sha256: str  # in hexadecimal
    expires_at: float = 0.0  # seconds since 1970; 0: never
    revoked: bool = False
    models: tuple[str, ...] = ()  # that requests with it may name; (): all that its tenant may
    limits: tuple[Limit, ...] = ()  # beside its tenant's


class Tenant(Data, frozen=True):
    """Several keys stand for one tenant, so that each can be replaced by itself."""

    name: str
    keys: tuple[Key, ...] = ()
    models: tuple[str, ...] = ()  # that its requests may name; (): all
    aliases: dict[str, str] = field(default_factory=dict)  # names of its own for models
    priority_class: str = ""
    limits: tuple[Limit, ...] = ()
    weight: float = 1.0  # its share beside other tenants
    # Clients that are it by a verified certificate: subjects (RFC 4514), common names, or
    # fingerprints (SHA-256, hexadecimal).
    certificates: tuple[str, ...] = ()


class TokenIssuer(Data, frozen=True):
    """Whose JSON Web Tokens (RFC 7519) tell tenants, and how they are verified."""

    issuer: str
    audiences: tuple[str, ...]
    algorithms: tuple[str, ...]  # asymmetric ones
    tenant_claim: str = "tenant"  # whose value is a tenant's name
    name_claim: str = "sub"  # and what the holder is called in logs
    leeway_s: float = 0.0  # that clocks may differ by
    jwks_url: str = ""  # where its keys are (RFC 7517), or in which file
    jwks_file: str = ""
    refresh_s: float = 300.0
    key_set: str = ""  # the set of keys; the supervisor adds it
