"""The document's part about JSON Web Tokens: whose tell tenants."""

from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from penstock.config.document.section import Section, required, setting
from penstock.config.document.values import Duration, OneOrMany, PositiveDuration
from penstock.core import snapshot

_ISSUER: Final = snapshot.TokenIssuer("", (), ())
# Those by which whoever can verify a token can make none (RFC 7518, 3.1; RFC 8037).
Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]
_Text = Annotated[str, Field(min_length=1)]


class Jwt(Section):
    """An issuer whose JSON Web Tokens are let in as keys are. They must say `iss`, `aud` and
    `exp`."""

    issuer: _Text = required("The `iss` of its tokens.")
    audience: OneOrMany[_Text] = required("One of these must be in their `aud`.")
    jwks: Annotated[str, Field(pattern="^https?://")] | None = setting(
        None, "URL of its keys (JWKS); asked by the supervisor, and kept while it does not answer."
    )
    jwks_file: _Text | None = setting(None, "File of its keys, instead of `jwks`.")
    algorithms: OneOrMany[Algorithm] = setting(
        ("RS256", "ES256"), "Algorithms of their signatures."
    )
    tenant_claim: _Text = setting(_ISSUER.tenant_claim, "The claim that names the tenant.")
    name_claim: _Text = setting(
        _ISSUER.name_claim, "The claim that says what the holder is called in logs and limits."
    )
    leeway: Duration = setting(_ISSUER.leeway_s, "By how much clocks may differ.")
    refresh: PositiveDuration = setting(_ISSUER.refresh_s, "Time between two looks at the keys.")

    @model_validator(mode="after")
    def _one_source(self) -> "Jwt":
        if (self.jwks is None) == (self.jwks_file is None):
            raise ValueError("give one of `jwks` and `jwks_file`")
        return self
