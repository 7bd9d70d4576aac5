"""From the document to the snapshot: tenants, and which routes ask who asks.

Beside the document tenants stand in a directory: ``NAME.yaml`` is a tenant's section, and
``NAME.keys.yaml`` holds keys alone, which `penstock keys` writes. The supervisor reads it again
while it runs.
"""

import os
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal

from msgspec.structs import replace
from pydantic import ValidationError

from penstock.config.document.limits import compiled_limits
from penstock.config.document.model import Document
from penstock.config.document.routes import Route
from penstock.config.document.tenants import Tenant, TenantKey
from penstock.config.document.values import parse_name
from penstock.config.load.document import Origin
from penstock.config.load.errors import ConfigError, Location, Problem
from penstock.config.load.explain import explain
from penstock.config.load.findings import Findings
from penstock.config.load.source import read_source
from penstock.core import snapshot

SUFFIX: Final = ".yaml"
KEYS_SUFFIX: Final = ".keys.yaml"
SHORTEST_KEY: Final = 32
_MOST_FILES: Final = 100_000


def compile_tenants(document: Document, findings: Findings) -> tuple[snapshot.Tenant, ...]:
    """Those of the file. What is wrong with them is noted in ``findings``."""
    tenants = document.tenants or {}
    compiled = []
    known: dict[str, str] = {}
    for name, tenant in tenants.items():
        at: Location = ("tenants", name)
        if name.endswith(KEYS_SUFFIX.removesuffix(SUFFIX)):
            findings.wrong(at, "a tenant's name does not end with .keys, as files of keys do")
        compiled.append(_compile_tenant(name, tenant, at, findings))
        for key in compiled[-1].keys:
            other = known.setdefault(key.sha256, f"{name}/{key.name}")
            if other != f"{name}/{key.name}":
                findings.wrong((*at, "keys", key.name), f"is the same key as {other}")
    return tuple(compiled)


def read_directory(directory: Path) -> tuple[snapshot.Tenant, ...]:
    """Those of a directory. Raises ConfigError, whose text is for people."""
    try:
        files = sorted(each for each in directory.iterdir() if _is_ours(each))
    except OSError as error:
        raise ConfigError(
            f"{directory}: the directory of tenants cannot be read: {error.strerror}"
        ) from error
    if len(files) > _MOST_FILES:
        raise ConfigError(f"{directory}: {len(files)} files; at most {_MOST_FILES} are read")
    return joined([read_file(file) for file in files])


def read_file(file: Path) -> snapshot.Tenant:
    """One file of such a directory. Raises ConfigError."""
    tree = read_source(file, os.environ)
    origin = Origin(str(file), file.parent, tree.positions)
    if tree.problems:
        raise origin.error(tree.problems)
    keys_alone = file.name.endswith(KEYS_SUFFIX)
    name = file.name.removesuffix(KEYS_SUFFIX if keys_alone else SUFFIX)
    try:
        parse_name(name)
    except ValueError as error:
        raise origin.error([Problem((), f"the name of the file: {error}")]) from error
    value = {"keys": tree.value} if keys_alone else tree.value
    try:
        section = Tenant.model_validate(value)
    except ValidationError as error:
        problems = explain(error, value, Tenant)
        if keys_alone:  # in the file they stand at the top
            problems = [_at_the_top(each) for each in problems]
        raise origin.error(problems) from error
    findings = Findings(origin)
    tenant = _compile_tenant(name, section, (), findings)
    findings.raise_if_any()
    return tenant


def joined(found: Sequence[snapshot.Tenant]) -> tuple[snapshot.Tenant, ...]:
    """One for each name: a file of keys adds them to the tenant of another."""
    by_name: dict[str, snapshot.Tenant] = {}
    for tenant in found:
        other = by_name.get(tenant.name)
        if other is None:
            by_name[tenant.name] = tenant
            continue
        keys_alone, whole = tenant, other
        if other == snapshot.Tenant(other.name, other.keys):
            keys_alone, whole = other, tenant
        by_name[tenant.name] = replace(whole, keys=(*whole.keys, *keys_alone.keys))
    return tuple(by_name.values())


def is_read(name: str) -> bool:
    """Whether a file of that name is read."""
    return name.endswith(SUFFIX) and not name.startswith(".")


def _is_ours(file: Path) -> bool:
    return is_read(file.name) and file.is_file()


def _at_the_top(problem: Problem) -> Problem:
    """Without the key that the file does not spell."""
    at = problem.location
    return Problem(at[1:] if at[:1] == ("keys",) else at, problem.text, problem.position)


def _compile_tenant(name: str, tenant: Tenant, at: Location, findings: Findings) -> snapshot.Tenant:
    for alias, model in tenant.aliases.items():
        if alias == model:
            findings.wrong((*at, "aliases", alias), "stands for itself")
    return snapshot.Tenant(
        name=name,
        keys=tuple(
            _compile_key(each, key, name, (*at, "keys", each), findings)
            for each, key in tenant.keys.items()
        ),
        models=tenant.models,
        aliases=dict(tenant.aliases),
        limits=_limits(tenant, f"tenant {name}", at, findings),
        priority_class=tenant.priority or "",
        weight=tenant.weight,
        certificates=tenant.certificates,
    )


def _limits(
    section: Tenant | TenantKey, scope: str, at: Location, findings: Findings
) -> tuple[snapshot.Limit, ...]:
    with findings.noting((*at, "limits")):
        return compiled_limits(section.limits, section.budgets, scope)
    return ()


def _compile_key(
    name: str, key: TenantKey, tenant: str, at: Location, findings: Findings
) -> snapshot.Key:
    digest = key.sha256 or ""
    if (key.sha256 is None) == (key.key is None):
        findings.wrong(at, "give one of `sha256` and `key` (`penstock keys create` makes one)")
    elif key.key is not None:
        secret = key.key.get_secret_value()
        if len(secret) < SHORTEST_KEY:
            findings.wrong(
                (*at, "key"),
                f"has {len(secret)} characters; at least {SHORTEST_KEY} are needed "
                "(`penstock keys create` makes one)",
            )
        if not secret.isascii() or not secret.isprintable() or " " in secret:
            findings.wrong((*at, "key"), "holds characters other than printable ASCII, or spaces")
        digest = sha256(secret.encode()).hexdigest()
    return snapshot.Key(
        name=name,
        sha256=digest,
        expires_at=key.expires or 0.0,
        revoked=key.revoked,
        models=key.models,
        limits=_limits(key, f"key {tenant}/{name}", at, findings),
    )


def demand_keys(
    routes: tuple[snapshot.Route, ...],
    document: Document,
    pools: Mapping[str, snapshot.Pool],
    findings: Findings,
) -> tuple[snapshot.Route, ...]:
    """With what each asks of its clients: a key, wherever there are tenants, unless it says so."""
    there_are = document.tenants is not None or document.tenants_directory is not None
    said = {
        route.name or f"route-{index + 1}": (route, ("routes", index))
        for index, route in enumerate(document.routes or ())
    }
    for route in routes:
        if route.forward_auth is not None:
            _check_service(route.forward_auth, said[route.name][1], pools, there_are, findings)
    return tuple(
        replace(route, tenants=_demanded(route, said, pools, there_are, findings))
        for route in routes
    )


def _check_service(
    spec: snapshot.ForwardAuth,
    at: Location,
    pools: Mapping[str, snapshot.Pool],
    there_are: bool,
    findings: Findings,
) -> None:
    """It can be asked, and what it tells is understood."""
    here = (*at, "forward_auth")
    if spec.pool in pools and pools[spec.pool].protocol != "http":
        findings.wrong((*here, "pool"), f"{spec.pool!r} does not speak HTTP, by which it is asked")
    if spec.tenant_header and not there_are:
        findings.wrong(
            (*here, "tenant_header"),
            "it names tenants, and there are none: give `tenants` or `tenants_directory`",
        )
    if spec.user_header and not spec.tenant_header:
        findings.wrong((*here, "user_header"), "has no effect without a `tenant_header`")


def _demanded(
    route: snapshot.Route,
    said: Mapping[str, tuple[Route, Location]],
    pools: Mapping[str, snapshot.Pool],
    there_are: bool,
    findings: Findings,
) -> Literal["off", "optional", "required"]:
    spoken = {pools[each.pool].protocol for each in route.pools if each.pool in pools}
    able = spoken == {"http"}
    given, at = said.get(route.name, (None, ()))
    demanded = given.tenants if given is not None else None
    if demanded is None:
        asks_otherwise = route.forward_auth is not None or route.basic_auth is not None
        return "required" if there_are and able and not asks_otherwise else "off"
    if demanded != "off":
        here = (*at, "tenants")
        if not there_are:
            findings.wrong(here, "nobody has a key: give `tenants` or `tenants_directory`")
        elif not route.pools:
            findings.wrong(here, "needs a `pool` or `pools`: nothing else asks for keys")
        elif not able:
            findings.wrong(here, "needs pools of HTTP: connections and datagrams show no key")
    return demanded
