"""The document's part about tenants: who may ask, and by which keys they are known."""

import re
from datetime import UTC, datetime
from typing import Annotated, Final

from pydantic import BeforeValidator, Field, PlainSerializer, PlainValidator, SecretStr

from penstock.config.document.limits import Budgets, Limits
from penstock.config.document.models import ModelName
from penstock.config.document.section import Section, setting
from penstock.config.document.show import show
from penstock.config.document.values import Factor, Flag, Name, OneOrMany
from penstock.core import snapshot

_TENANT: Final = snapshot.Tenant(name="")
_KEY: Final = snapshot.Key(name="", sha256="")
_DIGEST: Final = re.compile(r"[0-9a-fA-F]{64}")


def parse_time(value: object) -> float:
    """Seconds since 1970 of a date, or of a time as in RFC 3339; UTC where it names no zone.

    Raises ValueError.
    """
    if isinstance(value, float):
        return value
    try:
        time = datetime.fromisoformat(str(value))
    except ValueError as error:
        raise ValueError(
            f"a date or a time is needed, such as 2027-01-31 or 2027-01-31T12:00:00Z, "
            f"not {show(value)}"
        ) from error
    return (time if time.tzinfo is not None else time.replace(tzinfo=UTC)).timestamp()


def spell_time(seconds: float) -> str | None:
    """As ``parse_time`` reads it."""
    if not seconds:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def _digest(value: object) -> str:
    if not isinstance(value, str) or not _DIGEST.fullmatch(value):
        raise ValueError("a SHA-256 in 64 hexadecimal digits is needed")
    return value.lower()


Time = Annotated[
    float,
    PlainValidator(parse_time, json_schema_input_type=str),
    PlainSerializer(spell_time, return_type=str, when_used="unless-none"),
]


class TenantKey(Section):
    """One key. `penstock keys create` makes one and writes, or shows, this section."""

    sha256: Annotated[str, BeforeValidator(_digest), Field(pattern="^[0-9a-fA-F]{64}$")] | None = (
        setting(None, "SHA-256 of the key, in hexadecimal.")
    )
    key: SecretStr | None = setting(
        None, "The key itself, in place of `sha256`: at least 32 characters."
    )
    expires: Time | None = setting(
        None, "Until when it is good: a date, or a time as in RFC 3339. Default: without an end."
    )
    revoked: Flag = setting(_KEY.revoked, "Whether it is good no more.")
    models: OneOrMany[ModelName] = setting(
        _KEY.models, "Models, of its tenant's, that requests with it may name. Default: all."
    )
    limits: Limits = setting((), "How much may be asked for with it, beside other limits.")
    budgets: Budgets = setting((), "How much may be asked for with it in a calendar's time.")


class Tenant(Section):
    """Who may ask, known by keys or by client certificates."""

    keys: dict[Name, TenantKey] = setting({}, "Its keys, by what they are called in logs.")
    certificates: OneOrMany[Annotated[str, Field(min_length=1)]] = setting(
        _TENANT.certificates,
        "Verified client certificates that are it: subjects as logs show them, common names, or "
        "SHA-256 fingerprints.",
    )
    models: OneOrMany[ModelName] = setting(
        _TENANT.models,
        "Models, or aliases of pools, that its requests to pools of kind `llm` may name. "
        "Default: all.",
    )
    aliases: dict[ModelName, ModelName] = setting(
        {}, "Names of its own for models or for aliases of pools."
    )
    priority: Name | None = setting(
        None, "Its priority class, of the `admission.priorities` of pools: none is more important."
    )
    limits: Limits = setting((), "How much may be asked for by it, beside other limits.")
    budgets: Budgets = setting((), "How much may be asked for by it in a calendar's time.")
    weight: Annotated[Factor, Field(gt=0)] = setting(
        _TENANT.weight, "Its share beside other tenants, where requests wait."
    )


Tenants = dict[Name, Tenant]
