"""Look at a file, this machine and the endpoints, and say what to change."""

import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from penstock.control.doctor.examination import Examined

EXAMPLES: Final = """\b
Examples:
  penstock doctor penstock.yaml
  penstock doctor                    this machine alone
  penstock doctor penstock.yaml --json | jq .findings[0]"""
# 1 and 2 are what any failure and a wrong call exit with.
_EXIT: Final = {"advice": 0, "warning": 3, "error": 4}
_COLOURS: Final = {"error": "red", "warning": "yellow", "advice": "cyan"}


@click.command(epilog=EXAMPLES)
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print what was found as a JSON object.")
@click.pass_context
def doctor(ctx: click.Context, file: Path | None, as_json: bool) -> None:
    """Say what to change, the most harmful first: in FILE, on this machine, at the endpoints.

    Descriptors, the kernel's queues, addresses, clock, memory and certificates are looked at, and
    every endpoint is asked once. Exits with 0 if nothing is worse than advice, with 3 for warnings,
    and with 4 if it would not start or requests would fail.
    """
    from penstock.control.doctor.examination import examine

    examined = asyncio.run(examine(file))
    if as_json:
        click.echo(json.dumps(_document(file, examined), indent=2, ensure_ascii=False))
    else:
        _print(examined)
    worst = examined.worst
    ctx.exit(_EXIT[worst.name.lower()] if worst is not None else 0)


def _print(examined: "Examined") -> None:
    from penstock._printable import printable

    for each in examined.endpoints:
        if not each.problem:
            what = ", ".join([each.engine or "reachable", *each.models[:3]])
            click.echo(f"ok       {each.pool}/{each.name}: {printable(what)}")
    for finding in examined.findings:
        harm = finding.harm.name.lower()
        click.echo(
            click.style(f"{harm:<8}", fg=_COLOURS[harm])
            + f" {printable(finding.where)}: {printable(finding.what)}"
        )
        if finding.do:
            click.echo(f"         → {finding.do}")
    if not examined.findings:
        click.echo("nothing to change")


def _document(file: Path | None, examined: "Examined") -> dict[str, Any]:
    worst = examined.worst
    return {
        "file": str(file) if file is not None else None,
        "worst": worst.name.lower() if worst is not None else None,
        "running": examined.running,
        "findings": [
            {**asdict(each), "harm": each.harm.name.lower()} for each in examined.findings
        ],
        "endpoints": [asdict(each) for each in examined.endpoints],
        "machine": asdict(examined.machine),
    }
