"""Whether certificates can be fetched as configured."""

from collections.abc import Mapping
from importlib.util import find_spec

from penstock.config.compile.certificates import check_authorities
from penstock.config.document.acme import Acme
from penstock.config.load.errors import Location
from penstock.config.load.findings import Findings
from penstock.core import snapshot


def compile_acme(acme: Acme, at: Location, findings: Findings) -> snapshot.Acme:
    """What a listener's ``acme`` says."""
    if not acme.names:
        findings.wrong((*at, "names"), "give at least one name")
    if not acme.agree_terms:
        findings.wrong(
            (*at, "agree_terms"),
            "the authority issues certificates to who agrees to its terms of service: read them, "
            "and set `agree_terms: true`",
        )
    if find_spec("acme") is None:
        findings.wrong(at, "the library for it is missing: `pip install 'penstock-lb[acme]'`")
    authorities = ""
    if acme.ca_file is not None:
        file = findings.path(acme.ca_file)
        authorities = str(file)
        with findings.noting((*at, "ca_file")):
            check_authorities(file)
    return snapshot.Acme(
        tuple(dict.fromkeys(acme.names)),
        acme.directory,
        acme.email or "",
        authorities,
        acme.challenge,
    )


def check_challenges(
    listeners: Mapping[str, tuple[snapshot.Listener, Location]], findings: Findings
) -> None:
    """Somewhere the authority can ask for its tokens."""
    fetched = [
        at
        for each, at in listeners.values()
        if each.tls.acme is not None and each.tls.acme.challenge == "http-01"
    ]
    plain = [
        each.name
        for each, _ in listeners.values()
        if each.protocol == "http" and not each.speaks_tls
    ]
    if fetched and not plain:
        for at in fetched:
            findings.wrong(
                (*at, "tls", "acme"),
                "the authority asks for a token over plain HTTP at port 80 (HTTP-01): add a "
                "listener for that, as `web: {address: ':80'}`, or say `challenge: tls-alpn-01`, "
                "which is asked at port 443",
            )
