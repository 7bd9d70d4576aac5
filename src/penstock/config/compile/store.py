"""Which store balancers share, and how it is reached."""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from penstock.config.compile.certificates import check_authorities, check_certificate
from penstock.config.compile.configured import StoreSettings
from penstock.config.document.store import Store
from penstock.config.load.errors import Location
from penstock.config.load.findings import Findings

_PORT: Final = 6379
_SENTINEL_PORT: Final = 26379
_MOST_DATABASES: Final = 16_384
_URL: Final = re.compile(
    r"(?:redis|valkey)(?P<tls>s?)(?:\+(?P<kind>sentinel|cluster))?://"
    r"(?:(?P<user>[^:@/]*)(?::(?P<password>[^@/]*))?@)?(?P<hosts>[^/@?#]+)(?:/(?P<path>[^?#]*))?"
)
_PLACE: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>\d{1,5}))?")
_AT: Final = ("store",)


def compile_store(
    store: Store | None, findings: Findings, *, has_tenants: bool = False
) -> StoreSettings | None:
    """What ``store`` says; None without one. ``has_tenants``: there is a directory of them."""
    if store is None:
        return None
    if any(find_spec(name) is None for name in ("redis", "hiredis", "cryptography")):
        findings.wrong(_AT, "libraries for it are missing: `pip install 'penstock-lb[store]'`")
    files = {}
    for name in ("ca_file", "certificate", "key"):
        given = getattr(store, name)
        files[name] = str(findings.path(given)) if given is not None else ""
    _check_files(files, findings)
    try:
        settings = parse_url(store.url.get_secret_value())
    except ValueError as error:
        findings.wrong((*_AT, "url"), str(error))
        return None
    if any(files.values()) and not settings.tls:
        findings.wrong(_AT, "certificates are for TLS: write `rediss://`")
    if files["key"] and not files["certificate"]:
        findings.wrong((*_AT, "key"), "a key needs its `certificate`")
    password = _password(store, settings, findings)
    secrets: tuple[str, ...] = ()
    if store.secrets_key_file is not None:
        secrets = findings.secrets((*_AT, "secrets_key_file"), (), store.secrets_key_file)
    if store.tenants and store.secrets_key_file is None:
        text = "the store has tenants only encrypted: give `secrets_key_file`, the same for all"
        findings.wrong((*_AT, "tenants"), text)
    if store.tenants and not has_tenants:
        findings.wrong((*_AT, "tenants"), "there is nothing to share: give `tenants_directory`")
    return StoreSettings(
        kind=settings.kind,
        places=settings.places,
        tls=settings.tls,
        database=settings.database,
        master=settings.master,
        cluster=store.cluster,
        username=settings.username,
        password=password,
        ca_file=files["ca_file"],
        certificate=files["certificate"],
        key=files["key"],
        limits_when_gone=store.limits_when_gone,
        secrets=secrets,
        tenants=store.tenants,
    )


def parse_url(text: str) -> StoreSettings:
    """What a URL says. Raises ValueError, whose text never repeats the URL: it may hold secrets."""
    found = _URL.fullmatch(text)
    if found is None:
        raise ValueError(
            "this is no URL of a store: write `redis://HOST:PORT`, `rediss://HOST:PORT`, "
            "`redis+sentinel://HOST,HOST/NAME` or `redis+cluster://HOST,HOST`"
        )
    kind = found["kind"] or "server"
    usual = _SENTINEL_PORT if kind == "sentinel" else _PORT
    places = tuple(_place(each, usual) for each in found["hosts"].split(","))
    if kind == "server" and len(places) > 1:
        raise ValueError("several hosts are for `redis+sentinel://` or `redis+cluster://`")
    path = (found["path"] or "").split("/")
    master = path.pop(0) if kind == "sentinel" else ""
    if kind == "sentinel" and not master:
        raise ValueError("`redis+sentinel://HOST,HOST/NAME` needs the NAME that Sentinels know")
    database = path[0] if path and path[0] else "0"
    if len(path) > 1 or not database.isdecimal() or int(database[:6]) > _MOST_DATABASES:
        raise ValueError("behind the host stands the number of a database, as in `/0`, or nothing")
    if kind == "cluster" and database != "0":
        raise ValueError("a cluster has one database: leave its number away")
    return StoreSettings(
        kind=kind,
        places=places,
        tls=bool(found["tls"]),
        database=int(database),
        master=master,
        username=unquote(found["user"] or ""),
        password=unquote(found["password"] or ""),
    )


def _place(text: str, usual: int) -> tuple[str, int]:
    found = _PLACE.fullmatch(text)
    port = int(found["port"] or usual) if found is not None else 0
    if found is None or not 1 <= port <= 65535:
        raise ValueError("a host and perhaps its port are needed, as in `redis://10.0.0.5:6379`")
    return found["host"].strip("[]"), port


def _password(store: Store, settings: StoreSettings, findings: Findings) -> str:
    if store.password_file is None:
        return settings.password
    at: Location = (*_AT, "password_file")
    if settings.password:
        findings.wrong(at, "the URL has a password already: give one of both")
    path = findings.path(store.password_file)
    try:
        password = Path(path).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        findings.wrong(at, f"{path} cannot be read: {reason}")
        return ""
    if not password:
        findings.wrong(at, f"{path} is empty")
    return password


def _check_files(files: dict[str, str], findings: Findings) -> None:
    if files["ca_file"]:
        with findings.noting((*_AT, "ca_file")):
            check_authorities(Path(files["ca_file"]))
    if files["certificate"]:
        with findings.noting((*_AT, "certificate")):
            check_certificate(
                Path(files["certificate"]), Path(files["key"] or files["certificate"])
            )
