"""The endpoints: whether they can be reached, what their checks say, their TLS, their engines."""

import asyncio
import ssl
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from penstock._reasons import reason_of
from penstock.config.compile.snapshot import Configured
from penstock.control.doctor.finding import Finding, Harm
from penstock.control.doctor.listening import judge_end
from penstock.control.endpoint_contexts import EndpointContexts
from penstock.control.endpoints.check_target import CheckResult, CheckTarget
from penstock.control.endpoints.health_checker import HealthChecker
from penstock.control.engines.client import EngineClient, EngineTarget, UnreachableError
from penstock.control.engines.finding import addressed, listed_models, recognise
from penstock.core.snapshot import Endpoint, Engine, HealthCheck, Pool

_TIMEOUT_S: Final = 2.0
_AT_ONCE: Final = 32
_CONNECTS: Final = HealthCheck(kind="tcp", timeout_s=_TIMEOUT_S)


@dataclass(frozen=True)
class Looked:
    """What an endpoint was found to be. ``problem``: why it cannot be reached."""

    pool: str
    name: str
    problem: str = ""
    failed_check: str = ""  # why its health check fails; empty: it passes, or there is none
    certificate_end_s: float = 0.0  # 0: no certificate, or not verified
    engine: str = ""
    models: tuple[str, ...] = ()

    @property
    def serves_models(self) -> bool:
        """Whether a language model is served there."""
        return bool(self.engine)


async def look_at_endpoints(configured: Configured) -> list[Looked]:
    """Every configured endpoint, asked once; those that are discovered are not known here."""
    contexts = EndpointContexts()
    client = EngineClient(contexts)
    checker = HealthChecker(contexts)
    turns = asyncio.Semaphore(_AT_ONCE)

    async def look(pool: Pool, endpoint: Endpoint) -> Looked:
        async with turns:
            return await _look(pool, endpoint, client, checker, contexts)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(look(pool, endpoint))
                for pool in configured.snapshot.pools
                for endpoint in pool.endpoints
            ]
        return [task.result() for task in tasks]
    finally:
        await client.close()


def judge_endpoints(
    configured: Configured, looked: Sequence[Looked], now_s: float | None = None
) -> Iterator[Finding]:
    """What of it does harm."""
    now_s = time.time() if now_s is None else now_s
    for pool in configured.snapshot.pools:
        own = [each for each in looked if each.pool == pool.name]
        yield from _pool(pool, own)
        for each in own:
            where = f"{pool.name}/{each.name}"
            if each.certificate_end_s:
                yield from judge_end(where, "its certificate", each.certificate_end_s, now_s)
            if each.failed_check and not each.problem:
                yield Finding(
                    Harm.WARNING,
                    where,
                    f"its health check fails: {each.failed_check}",
                    "put the server right, or the check",
                )
            if pool.kind == "http" and pool.protocol == "http" and each.engine:
                yield Finding(
                    Harm.WARNING,
                    where,
                    f"{each.engine} serves language models there, balanced without knowing prompts",
                    "`kind: llm` in its pool",
                )
            if pool.kind == "llm" and not each.engine and not each.problem:
                yield Finding(
                    Harm.ADVICE,
                    where,
                    "it is no engine that is known, so its load is guessed from requests sent",
                    "turn its metrics on, or name them: `engine: {kind: generic, metrics: …}`",
                )


def _pool(pool: Pool, own: Sequence[Looked]) -> Iterator[Finding]:
    where = f"pools.{pool.name}"
    gone = [each for each in own if each.problem]
    others = bool(pool.discover or pool.scale)
    harm = Harm.ERROR if len(gone) == len(own) and not others else Harm.WARNING
    for each in gone:
        yield Finding(
            harm,
            f"{pool.name}/{each.name}",
            f"it cannot be reached: {each.problem}",
            "start it, or correct its `url`; `penstock serve` runs without it",
        )
    if own and pool.health_check is None and pool.agent_check is None:
        yield Finding(
            Harm.WARNING if len(own) > 1 else Harm.ADVICE,
            where,
            "it has no health check: that an endpoint hangs or is gone, requests find out",
            "`health_check: /health`, or `tcp`",
        )
    if len(own) == 1 and not others:
        yield Finding(
            Harm.ADVICE,
            where,
            "it has one endpoint: while that is down, nothing is served",
            "add one",
        )
    if not pool.tls.verify and any(each.tls for each in pool.endpoints):
        yield Finding(
            Harm.WARNING,
            where,
            "certificates of its endpoints are not verified: anybody between can read and answer",
            "`tls: {ca_file: …}` with who issued them, and `verify` left out",
        )


async def _look(
    pool: Pool,
    endpoint: Endpoint,
    client: EngineClient,
    checker: HealthChecker,
    contexts: EndpointContexts,
) -> Looked:
    looked = Looked(pool.name, endpoint.name)
    try:
        endpoint = await addressed(endpoint)
    except OSError as error:
        return _with(looked, problem=f"{endpoint.host}: {reason_of(error)}")
    if pool.protocol != "udp":
        connected = await _checked(checker, pool, endpoint, _CONNECTS)
        if not connected.passed:
            return _with(looked, problem=connected.detail)
    if endpoint.tls:
        try:
            looked = _with(
                looked, certificate_end_s=await _certificate_end(pool, endpoint, contexts)
            )
        except (OSError, ValueError, TimeoutError) as error:
            return _with(looked, problem=reason_of(error))
    if pool.health_check is not None:
        check = await _checked(checker, pool, endpoint, pool.health_check)
        if not check.passed:
            looked = _with(looked, failed_check=check.detail)
    if pool.protocol == "http" and not endpoint.http2 and pool.proxy_protocol == "off":
        engine = pool.engine or Engine(timeout_s=_TIMEOUT_S)
        target = EngineTarget(pool.name, endpoint, engine, pool.tls)
        try:
            dialect = await recognise(client, target)
        except UnreachableError:
            return looked  # it takes connections; its check says the rest
        if dialect is not None:
            models = await listed_models(client, target)
            looked = _with(looked, engine=dialect.title.partition(" (")[0], models=models)
    return looked


def _with(looked: Looked, **changes: object) -> Looked:
    return Looked(**{**vars(looked), **changes})


async def _checked(
    checker: HealthChecker, pool: Pool, endpoint: Endpoint, check: HealthCheck
) -> CheckResult:
    return await checker.check(
        CheckTarget(pool.name, endpoint, check, pool.tls, pool.proxy_protocol)
    )


async def _certificate_end(pool: Pool, endpoint: Endpoint, contexts: EndpointContexts) -> float:
    """When its certificate ends; 0 where it is not verified. Raises OSError, ValueError."""
    if pool.proxy_protocol != "off":
        return 0.0  # the header would have to be sent first; its check does
    context = contexts.of(replace(pool.tls), http2=endpoint.http2)
    async with asyncio.timeout(_TIMEOUT_S):
        reader, writer = await asyncio.open_connection(
            endpoint.connect_host,
            endpoint.port,
            ssl=context,
            server_hostname=pool.tls.server_name or endpoint.host,
        )
    try:
        shown = writer.get_extra_info("peercert") or {}
        return float(ssl.cert_time_to_seconds(shown["notAfter"])) if "notAfter" in shown else 0.0
    finally:
        writer.transport.abort()
        del reader
