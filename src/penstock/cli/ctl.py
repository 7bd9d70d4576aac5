"""Inspect and control a running balancer: status, explain, drain, weight, reload, stop."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, ClassVar, Final
from urllib.parse import urlencode

import click

from penstock._reasons import reason_of

_TIMEOUT_S: Final = 30.0
_WHOLE: Final = 1000  # characters: no help is as long
EXAMPLES: Final = """\b
Examples:
  penstock ctl status
  penstock ctl drain main/gpu1:8000
  penstock ctl reload --admin http://lb1:9900 --token-file token"""


@dataclass(frozen=True)
class Admin:
    """The admin address to talk to, and the token to show."""

    url: str
    token: str | None

    def get(self, path: str) -> dict[str, Any]:
        """What the address says. Raises click.ClickException."""
        return self._ask("GET", path, None)

    def post(self, path: str, body: dict[str, object]) -> dict[str, Any]:
        """Give a command. Raises click.ClickException when it is refused."""
        return self._ask("POST", path, body)

    def _ask(self, method: str, path: str, body: dict[str, object] | None) -> dict[str, Any]:
        import aiohttp

        async def ask() -> tuple[int, bytes]:
            headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
            timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
            async with (
                aiohttp.ClientSession(headers=headers, timeout=timeout) as session,
                session.request(method, self.url + path, json=body) as response,
            ):
                return response.status, await response.read()

        try:
            status, text = asyncio.run(ask())
        except aiohttp.ClientConnectorError as error:
            raise click.ClickException(
                f"nothing answers at {self.url} ({reason_of(error)}). Is the balancer "
                "running? Use `--admin` or PENSTOCK_ADMIN if its admin address is a different one."
            ) from error
        except aiohttp.InvalidURL as error:
            raise click.ClickException(f"--admin {self.url!r} is not a URL") from error
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            timed_out = isinstance(error, TimeoutError)
            reason = f"no answer within {_TIMEOUT_S:g} s" if timed_out else reason_of(error)
            raise click.ClickException(f"{self.url}: {reason}") from error
        return self._answer(status, text)

    def _answer(self, status: int, text: bytes) -> dict[str, Any]:
        try:
            answer = json.loads(text)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise click.ClickException(
                f"{self.url} answered {status}, but it is not a Penstock admin address"
            )
        if status == 401:
            raise click.ClickException(
                f"{self.url} requires a token: use `--token-file` or PENSTOCK_TOKEN"
            )
        if status >= 400:
            reason = answer.get("error") or answer.get("message") or f"answered {status}"
            raise click.ClickException(str(reason))
        return answer


class Verbs(click.Group):
    """The verbs of ``ctl``. Options of the connection may stand before the verb or after it."""

    _anywhere: ClassVar = ("--admin", "--token", "--token-file")

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Brings those options before the verb, where the group reads them."""
        first: list[str] = []
        rest: list[str] = []
        given = iter(args)
        for argument in given:
            if argument in self._anywhere:
                value = next(given, None)
                if value is None:
                    raise click.BadOptionUsage(argument, f"{argument} needs a value", ctx)
                first += [argument, value]
            elif argument.partition("=")[0] in self._anywhere:
                first.append(argument)
            else:
                rest.append(argument)
        return super().parse_args(ctx, first + rest)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Each verb with its whole first sentence, which click would cut off."""
        verbs = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Verbs"):
            formatter.write_dl(
                [(name, verb.get_short_help_str(_WHOLE)) for name, verb in verbs if verb]
            )


@click.group(cls=Verbs, epilog=EXAMPLES)
@click.option(
    "--admin",
    envvar="PENSTOCK_ADMIN",
    show_envvar=True,
    default="http://127.0.0.1:9900",
    show_default=True,
    metavar="URL",
    help="Admin address of the balancer.",
)
@click.option(
    "--token",
    envvar="PENSTOCK_TOKEN",
    show_envvar=True,
    metavar="TOKEN",
    help="Admin token; prefer the environment variable or a file.",
)
@click.option(
    "--token-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File that holds the admin token.",
)
@click.pass_context
def ctl(ctx: click.Context, admin: str, token: str | None, token_file: Path | None) -> None:
    """Inspect and control a running balancer."""
    if token_file is not None:
        token = token_file.read_text().strip()
    url = admin if "://" in admin else f"http://{admin}"
    ctx.obj = Admin(url.rstrip("/"), token)


def _pair(_: click.Context, __: click.Parameter, value: str) -> tuple[str, str]:
    """``POOL/ENDPOINT``, split at the first slash."""
    pool, slash, endpoint = value.partition("/")
    if not (pool and slash and endpoint):
        raise click.BadParameter(f"write POOL/ENDPOINT, as in main/10.0.0.1:8000, not {value!r}")
    return pool, endpoint


_endpoint = click.argument("endpoint", metavar="POOL/ENDPOINT", callback=_pair)


@ctl.command(epilog="\b\nExample:\n  penstock ctl status --json | jq .pools[0].endpoints")
@click.option("--json", "as_json", is_flag=True, help="Print the whole status document.")
@click.pass_obj
def status(admin: Admin, as_json: bool) -> None:
    """Show pools, endpoints and workers.

    Rates and times are of the last minute: quantiles for a pool, means for its endpoints.
    """
    document = admin.get("/api/v1/status")
    if as_json:
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    from penstock.cli._status_tables import print_status

    print_status(document)


@ctl.command(epilog="\b\nExample:\n  penstock ctl explain 5e0c4b1f7a2d9c3e8b46000000000a17")
@click.argument("request_id", metavar="REQUEST-ID")
@click.option("--json", "as_json", is_flag=True, help="Print the records as JSON lines.")
@click.pass_obj
def explain(admin: Admin, request_id: str, as_json: bool) -> None:
    """Show why a request was sent to its endpoint, and how it went.

    REQUEST-ID is the X-Request-ID of its response. Pools record the share of their requests that
    `decisions: {sample: …}` says.
    """
    records = _recorded(admin, {"id": request_id, "limit": "100"})
    if not records:
        raise click.ClickException(
            f"no recorded decision has the id {request_id}. Pools record a share of them, "
            "`decisions: {sample: 0.01}`, and keep the newest; what was refused before an endpoint "
            "was chosen has its reason in the request log."
        )
    if as_json:
        _print_lines(records)
        return
    from penstock.cli._decision_tables import print_explanation

    for record in reversed(records):  # attempts in their order
        print_explanation(record)


@ctl.command(epilog="\b\nExample:\n  penstock ctl decisions --limit 1000 --json > decisions.jsonl")
@click.option("--pool", default="", help="Only decisions of this pool.")
@click.option(
    "--limit",
    default=20,
    show_default=True,
    type=click.IntRange(1, 10_000),
    help="How many to list.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the records as JSON lines.")
@click.pass_obj
def decisions(admin: Admin, pool: str, limit: int, as_json: bool) -> None:
    """List the recorded decisions, newest first."""
    records = _recorded(admin, {"pool": pool, "limit": str(limit)})
    if as_json:
        _print_lines(records)
        return
    from penstock.cli._decision_tables import print_decisions

    print_decisions(records)


@ctl.command(epilog="\b\nExample:\n  penstock ctl shadow")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def shadow(admin: Admin, as_json: bool) -> None:
    """Show what shadow policies would have picked, and the estimated cost."""
    pools = [pool for pool in admin.get("/api/v1/status")["pools"] if pool["shadow"]]
    if not pools:
        raise click.ClickException(
            "no pool has shadow policies; add one to a pool with `shadow: [least-request]`"
        )
    if as_json:
        _print_lines([{"pool": pool["name"], "shadow": pool["shadow"]} for pool in pools])
        return
    from penstock.cli._decision_tables import print_shadows

    print_shadows(pools)


def _seconds(_: click.Context, __: click.Parameter, value: str) -> float:
    """A duration as documents write it."""
    from penstock.config.document.values import parse_duration

    try:
        return parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@ctl.command(
    epilog="\b\nExamples:\n  penstock ctl drain main/10.0.0.1:8000\n"
    "  penstock ctl drain --wait --timeout 10m main/10.0.0.1:8000 && systemctl stop app"
)
@_endpoint
@click.option(
    "--wait",
    is_flag=True,
    help="Return when nothing is in flight there, and the deadline of clients that stay is over.",
)
@click.option(
    "--timeout",
    metavar="DURATION",
    default="5m",
    show_default=True,
    callback=_seconds,
    help="How long to wait; exit code 3 when that is not enough. `off`: as long as it takes.",
)
@click.pass_obj
def drain(admin: Admin, endpoint: tuple[str, str], wait: bool, timeout: float) -> None:
    """Send no new clients to an endpoint; running requests finish.

    Clients that a sticky cookie binds to it stay, unless the pool's `drain` says otherwise.
    """
    answer = admin.post("/api/v1/drain", {"pool": endpoint[0], "endpoint": endpoint[1]})
    _say(answer)
    if wait:
        from penstock.cli._drain_wait import await_drained

        await_drained(lambda: admin.get("/api/v1/status"), endpoint, timeout)


@ctl.command(epilog="\b\nExample:\n  penstock ctl undrain main/10.0.0.1:8000")
@_endpoint
@click.pass_obj
def undrain(admin: Admin, endpoint: tuple[str, str]) -> None:
    """Send requests to a drained endpoint again."""
    answer = admin.post("/api/v1/undrain", {"pool": endpoint[0], "endpoint": endpoint[1]})
    _say(answer)


@ctl.command(epilog="\b\nExample:\n  penstock ctl weight main/10.0.0.1:8000 0.5")
@_endpoint
@click.argument("weight", type=click.FloatRange(min=0.0))
@click.pass_obj
def weight(admin: Admin, endpoint: tuple[str, str], weight: float) -> None:
    """Set an endpoint's weight until its configured weight changes."""
    if not isfinite(weight):
        raise click.BadParameter(f"a number is needed, not {weight}", param_hint="WEIGHT")
    body = {"pool": endpoint[0], "endpoint": endpoint[1], "weight": weight}
    answer = admin.post("/api/v1/weight", body)
    _say(answer, f", weight {answer['weight']:g}")


@ctl.command(
    name="reload", epilog="\b\nExample:\n  penstock check penstock.yaml && penstock ctl reload"
)
@click.pass_obj
def reload_configuration(admin: Admin) -> None:
    """Reload the configuration. If it is invalid, nothing changes and the errors are shown."""
    answer = admin.post("/api/v1/reload", {})
    click.echo(answer["message"])
    for note in answer["notes"]:
        click.echo(f"note: {note}")


@ctl.command(epilog="\b\nExample:\n  penstock ctl stop")
@click.pass_obj
def stop(admin: Admin) -> None:
    """Stop gracefully: accept nothing new and finish running requests within the deadline."""
    admin.post("/api/v1/stop", {})
    click.echo("stopping")


def _recorded(admin: Admin, query: dict[str, str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = admin.get(f"/api/v1/decisions?{urlencode(query)}")["decisions"]
    return found


def _print_lines(records: list[dict[str, Any]]) -> None:
    for record in records:
        click.echo(json.dumps(record, ensure_ascii=False))


def _say(answer: dict[str, Any], more: str = "") -> None:
    click.echo(f"{answer['pool']}/{answer['endpoint']} is {answer['state']}{more}")
