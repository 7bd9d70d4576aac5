"""Certificates that are fetched: what of ACME (RFC 8555) is configured."""

from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field

from penstock.config.document.addresses import parse_host
from penstock.config.document.section import Section, required, setting
from penstock.config.document.values import Flag, OneOrMany

LETS_ENCRYPT: Final = "https://acme-v02.api.letsencrypt.org/directory"


def _name(value: object) -> str:
    text = str(value).lower().rstrip(".")
    if text.startswith("*."):
        raise ValueError(
            f"{value}: certificates for wildcards are given to who controls the DNS (DNS-01), "
            "which Penstock does not do: list the names, or fetch this one otherwise and give it "
            "as `certificate` and `key`"
        )
    host = parse_host(text)
    if ":" in host or host.rpartition(".")[2].isdigit():
        raise ValueError(f"{value} is an address; certificates are fetched for names")
    return host


def _directory(value: object) -> str:
    text = str(value)
    if not text.startswith("https://"):
        raise ValueError(f"{text}: the https:// URL of an ACME directory is needed")
    return text


class Acme(Section):
    """Has an authority issue the certificate, by ACME, and renews it."""

    names: OneOrMany[Annotated[str, BeforeValidator(_name, json_schema_input_type=str)]] = required(
        "Names that the certificate is for. Port 80 of each must lead to an HTTP listener of this "
        "balancer, where the authority asks for a token (HTTP-01), or port 443 to this listener."
    )
    challenge: Literal["http-01", "tls-alpn-01"] = setting(
        "http-01",
        "How the authority confirms that names are yours: by a token over HTTP at port 80, or by a "
        "certificate that this listener shows to it alone, at port 443.",
    )
    email: Annotated[str, Field(pattern="^[^@\\s]+@[^@\\s]+$")] | None = setting(
        None, "Where the authority writes to when something is wrong."
    )
    directory: Annotated[str, BeforeValidator(_directory, json_schema_input_type=str)] = setting(
        LETS_ENCRYPT, "URL of the authority's ACME directory. Default: Let's Encrypt's."
    )
    ca_file: str | None = setting(
        None,
        "PEM file with who vouches for the directory's own certificate. Default: the system's.",
    )
    agree_terms: Flag = setting(
        False, "That you have read the authority's terms of service and agree; must be `true`."
    )
