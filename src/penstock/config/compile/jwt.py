"""From the document to the snapshot: issuers of tokens."""

from importlib.util import find_spec
from urllib.parse import urlsplit

from penstock.config.document.addresses import Address
from penstock.config.document.model import Document
from penstock.config.load.errors import Location
from penstock.config.load.findings import Findings
from penstock.core import snapshot


def compile_issuers(document: Document, findings: Findings) -> tuple[snapshot.TokenIssuer, ...]:
    """Those of the document. What is wrong with them is noted in ``findings``."""
    issuers = document.jwt
    at: Location = ("jwt",)
    if not issuers:
        return ()
    if find_spec("jwt") is None or find_spec("cryptography") is None:
        findings.wrong(at, "the library for it is missing: `pip install 'penstock-lb[jwt]'`")
    if document.tenants is None and document.tenants_directory is None:
        findings.wrong(at, "tokens name tenants, and there are none: give `tenants`")
    names = [each.issuer for each in issuers]
    if len(set(names)) != len(names):
        findings.wrong(at, "two have the same `issuer`")
    compiled = []
    for each in issuers:
        url = urlsplit(each.jwks or "")
        if url.scheme == "http" and not Address(url.hostname or "", 0).is_loopback():
            findings.wrong(
                at,
                f"{each.jwks}: whoever can change keys on their way lets in anybody"
                ": write https://",
            )
        compiled.append(
            snapshot.TokenIssuer(
                issuer=each.issuer,
                audiences=each.audience,
                algorithms=each.algorithms,
                tenant_claim=each.tenant_claim,
                name_claim=each.name_claim,
                leeway_s=each.leeway,
                jwks_url=each.jwks or "",
                jwks_file=str(findings.path(each.jwks_file)) if each.jwks_file else "",
                refresh_s=each.refresh,
            )
        )
    return tuple(compiled)
