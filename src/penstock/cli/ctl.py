"""Inspect and control a running balancer: status, explain, drain, weight, reload, stop.

Verbs that only give a command derive from ``control.commands``; what stands here shows answers in
tables or waits for something.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar, Final

import click

from penstock.cli._admin_client import Admin
from penstock.cli._admin_options import NAMES, admin_of, admin_options
from penstock.cli._admin_verbs import verb_of
from penstock.control.commands import commands
from penstock.control.commands.decisions import Decisions
from penstock.control.commands.drain import Drain

_WHOLE: Final = 1000  # characters: no help is as long
_MOST_ATTEMPTS: Final = 100  # of one request
EXAMPLES: Final = """\b
Examples:
  penstock ctl status
  penstock ctl drain main/gpu1:8000
  penstock ctl reload --admin http://lb1:9900 --token-file token"""


class Verbs(click.Group):
    """The verbs of ``ctl``. Options of the connection may stand before the verb or after it."""

    _anywhere: ClassVar = NAMES

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Move those options before the verb, where the group reads them."""
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
@admin_options
@click.pass_context
def ctl(
    ctx: click.Context,
    admin: str,
    token: str | None,
    token_file: Path | None,
    ca_file: Path | None,
) -> None:
    """Inspect and control a running balancer."""
    ctx.obj = admin_of(admin, token, token_file, ca_file)


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
    records = admin.give(Decisions, {"id": request_id, "limit": _MOST_ATTEMPTS})["decisions"]
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
    from penstock.config.document.quantities import parse_duration

    try:
        return parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _drained(
    admin: Admin, values: dict[str, Any], answer: dict[str, Any], *, wait: bool, timeout: float
) -> None:
    click.echo(Drain.told(answer))
    if wait:
        from penstock.cli._drain_wait import await_drained

        endpoint = (values["pool"], values["endpoint"])
        await_drained(lambda: admin.get("/api/v1/status"), endpoint, timeout)


def _decisions(
    admin: Admin, values: dict[str, Any], answer: dict[str, Any], *, as_json: bool
) -> None:
    if as_json:
        _print_lines(answer["decisions"])
        return
    from penstock.cli._decision_tables import print_decisions

    print_decisions(answer["decisions"])


ctl.add_command(
    verb_of(
        Drain,
        [
            click.Option(
                ["--wait"],
                is_flag=True,
                help="Return when nothing is in flight there, and the deadline of clients that "
                "stay is over.",
            ),
            click.Option(
                ["--timeout"],
                metavar="DURATION",
                default="5m",
                show_default=True,
                callback=_seconds,
                help="How long to wait; exit code 3 when that is not enough. `off`: as long as it "
                "takes.",
            ),
        ],
        show=_drained,
        examples=["--wait --timeout 10m main/10.0.0.1:8000 && systemctl stop app"],
    )
)
ctl.add_command(
    verb_of(
        Decisions,
        [
            click.Option(
                ["--json", "as_json"], is_flag=True, help="Print the records as JSON lines."
            )
        ],
        show=_decisions,
    )
)
for command in commands().values():
    if command.name not in ctl.commands:
        ctl.add_command(verb_of(command))


def _print_lines(records: list[dict[str, Any]]) -> None:
    for record in records:
        click.echo(json.dumps(record, ensure_ascii=False))
