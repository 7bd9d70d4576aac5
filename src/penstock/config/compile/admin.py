"""The admin address as the supervisor takes it."""

from dataclasses import replace

from pydantic import SecretStr

from penstock.config.compile.certificates import check_certificate
from penstock.config.compile.configured import AdminSettings
from penstock.config.document.admin import Admin
from penstock.config.load.findings import Findings
from penstock.core.snapshot.address import socket_path


def compile_admin(admin: Admin | None, findings: Findings) -> AdminSettings:
    """What the section says. What does not fit together is found wrong."""
    if admin is None:
        return AdminSettings(None, 0, None)
    at = ("admin",)
    token = _token("token", admin.token, admin.token_file, findings)
    read_token = _token("read_token", admin.read_token, admin.read_token_file, findings)
    if token is None and admin.token_file is None and not admin.address.is_loopback():
        findings.wrong(
            at,
            f"other machines reach {admin.address}: give a `token` or a `token_file` "
            "(`--admin-token` on the command line; `openssl rand -hex 32` makes one), or listen "
            "on 127.0.0.1",
        )
    if read_token is not None and token is None:
        findings.wrong(
            at,
            "a `read_token` keeps nobody from changing anything while there is no `token`: give "
            "one too",
        )
    if read_token is not None and read_token == token:
        findings.wrong(at, "`read_token` is the `token`, with which all may be changed")
    tls = admin.tls
    if tls is not None and socket_path(admin.address.host):
        findings.wrong((*at, "tls"), f"{admin.address} crosses no network: leave `tls` out")
    settings = AdminSettings(admin.address.host, admin.address.port, token, read_token)
    if tls is None:
        return settings
    certificate, key = findings.path(tls.certificate), findings.path(tls.key)
    with findings.noting((*at, "tls")):
        check_certificate(certificate, key)
    return replace(settings, certificate=str(certificate), key=str(key))


def _token(name: str, given: SecretStr | None, file: str | None, findings: Findings) -> str | None:
    at = ("admin",)
    if given is not None and file is not None:
        findings.wrong(at, f"give one of `{name}` and `{name}_file`")
    tokens = findings.secrets(at, (given,) if given is not None else (), file)
    if len(tokens) > 1 and given is None:
        findings.wrong(at, f"{file} holds several lines; one token is needed")
    return tokens[0] if tokens else None
