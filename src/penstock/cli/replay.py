"""Send a trace or generated traffic to an OpenAI-compatible server and measure latencies."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace as with_changes
from pathlib import Path
from typing import Any, get_args

import aiohttp
import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from penstock._reasons import reason_of
from penstock.cli._output_file import OutputFile, writing
from penstock.fleet.replay.client import Api, Outcome, StreamClient, first_model
from penstock.fleet.replay.generate import DEFAULTS, Kind, Shape, generate
from penstock.fleet.replay.report import notes, page, table
from penstock.fleet.replay.result import (
    Measurement,
    Objectives,
    ReplayResult,
    read_result,
    write_result,
)
from penstock.fleet.replay.run import Replay
from penstock.fleet.replay.session import Workload
from penstock.fleet.replay.traces import TraceError, load_trace

_ExistingPath = click.Path(exists=True, dir_okay=False, path_type=Path)
_MODEL_WITHIN_S = 10.0  # a server lists its models at once
_Positive = click.FloatRange(min=0, min_open=True)


@click.command(
    epilog="""\b
Examples:
  penstock replay conversation_trace.jsonl --url http://localhost:8080 --limit 1000
  penstock replay --generate multi-turn --rate 4 --url http://localhost:8080 --json a.json
  penstock replay --compare a.json b.json --html comparison.html"""
)
@click.argument("trace", type=_ExistingPath, required=False)
@click.option("--url", help="Server to send to, with or without /v1.")
@click.option(
    "--generate",
    type=click.Choice(get_args(Kind)),
    help="Generate this kind of traffic instead of using a trace.",
)
@click.option("--compare", type=_ExistingPath, nargs=2, help="Compare two results (JSON).")
@click.option("--model", help="Model to ask for. Default: the first one that the server lists.")
@click.option("--api", type=click.Choice(get_args(Api)), default="chat", show_default=True)
@click.option(
    "--header", "headers", multiple=True, metavar="NAME:VALUE", help="Add a header; repeatable."
)
@click.option("--api-key", envvar="OPENAI_API_KEY", help="Send this bearer token.")
@click.option(
    "--think", is_flag=True, help="Turns wait for the previous answer, then for a think time."
)
@click.option(
    "--limit", type=click.IntRange(min=1), help="Replay only the first N requests of the trace."
)
@click.option(
    "--rate-scale", type=_Positive, default=1.0, help="Multiply the trace's arrival rate by this."
)
@click.option("--requests", type=click.IntRange(min=1), help="Number of generated requests.")
@click.option("--rate", type=_Positive, help="Generated requests per second.")
@click.option(
    "--turns", type=click.IntRange(min=1), help="Mean number of turns per generated session."
)
@click.option("--groups", type=click.IntRange(min=0), help="Number of different system prompts.")
@click.option("--system-tokens", type=click.IntRange(min=0), help="Length of system prompts.")
@click.option(
    "--input-tokens", type=click.IntRange(min=1), help="Mean prompt tokens that each turn adds."
)
@click.option("--output-tokens", type=click.IntRange(min=1), help="Mean output tokens per answer.")
@click.option(
    "--think-s", type=click.FloatRange(min=0), help="Mean think time before the next turn, seconds."
)
@click.option("--seed", type=int, help="Random seed of the generated workload.")
@click.option(
    "--speedup",
    type=_Positive,
    default=1.0,
    help="Speedup of the emulated engines, if they have one.",
)
@click.option("--slo-ttft", type=_Positive, help="Goodput objective: time to first token, seconds.")
@click.option("--slo-tpot", type=_Positive, help="Goodput objective: seconds per output token.")
@click.option("--slo-e2e", type=_Positive, help="Goodput objective: whole request, seconds.")
@click.option(
    "--timeout", type=_Positive, default=600.0, show_default=True, help="Per request, seconds."
)
@click.option("--name", help="Name of this run in reports. Default: the URL.")
@click.option("--json", "json_file", type=OutputFile(), help="Write the result to this file.")
@click.option("--html", "html_file", type=OutputFile(), help="Write an HTML report to this file.")
def replay(trace: Path | None, url: str | None, **options: Any) -> None:
    """Send TRACE, or a generated workload, and measure what its users would experience.

    TRACE is in Mooncake's (JSON lines) or Azure's (CSV) format; prompts are synthesised so that
    equal blocks are equal text. Requests are sent when they are due however slow the server is,
    and times count from then. Exits with 1 if any request failed.
    """
    console = Console()
    if options["compare"]:
        _compare(console, options["compare"], options["html_file"])
        return
    if url is None:
        raise click.UsageError("give the server with --url, or two results with --compare")
    if not url.startswith(("http://", "https://")):
        raise click.UsageError(f"--url {url!r} does not begin with http:// or https://")
    workload = _workload(trace, options)
    result = asyncio.run(_measure(workload, url, options))
    if options["json_file"]:
        with writing(options["json_file"]):
            write_result(result, options["json_file"])
    if options["html_file"]:
        with writing(options["html_file"]):
            options["html_file"].write_text(page([result]))
    console.print(table([result]))  # last: its reader may be gone
    for note in notes(result):
        console.print(note, markup=False)
    if result.failed:
        raise SystemExit(1)


def _compare(console: Console, files: tuple[Path, Path], html_file: Path | None) -> None:
    try:
        results = [read_result(file) for file in files]
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    if html_file:
        with writing(html_file):
            html_file.write_text(page(results))
    console.print(table(results))


def _workload(trace: Path | None, options: dict[str, Any]) -> Workload:
    if (trace is None) == (options["generate"] is None):
        raise click.UsageError("give either a TRACE or --generate")
    try:
        if trace is not None:
            return load_trace(
                trace,
                limit=options["limit"],
                rate_scale=options["rate_scale"],
                think=options["think"],
            )
        return generate(_shape(options))
    except (TraceError, ValueError) as error:
        raise click.ClickException(str(error)) from error


def _shape(options: dict[str, Any]) -> Shape:
    given = {
        "requests": options["requests"],
        "rate_per_s": options["rate"],
        "turns": options["turns"],
        "groups": options["groups"],
        "system_tokens": options["system_tokens"],
        "input_tokens": options["input_tokens"],
        "output_tokens": options["output_tokens"],
        "think_s": options["think_s"],
        "seed": options["seed"],
    }
    changes = {name: value for name, value in given.items() if value is not None}
    return with_changes(DEFAULTS[options["generate"]], timed=not options["think"], **changes)


async def _measure(workload: Workload, url: str, options: dict[str, Any]) -> ReplayResult:
    headers = _headers(options["headers"], options["api_key"])
    try:
        async with asyncio.timeout(min(options["timeout"], _MODEL_WITHIN_S)):
            model = options["model"] or await first_model(url, headers)
    except TimeoutError:
        raise click.ClickException(f"cannot find out the model from {url}: no answer") from None
    except aiohttp.InvalidURL as error:
        raise click.UsageError(f"--url {url!r} is not a URL") from error
    except (aiohttp.ClientError, LookupError) as error:
        reason = reason_of(error)
        raise click.ClickException(f"cannot find out the model from {url}: {reason}") from error
    speedup: float = options["speedup"]
    objectives = Objectives(
        options["slo_ttft"] or 0.0, options["slo_tpot"] or 0.0, options["slo_e2e"] or 0.0
    )
    measurement = Measurement(objectives, speedup)
    client = StreamClient(
        url,
        model,
        options["api"],
        headers=headers,
        timeout_s=options["timeout"],
        keep_answers=options["think"],
    )
    with _progress() as progress:
        bar = progress.add_task("replaying", total=workload.requests, failed=0, in_flight=0)

        def count(outcome: Outcome) -> None:
            measurement.add(outcome)
            failed = sum(measurement.failures.values())
            progress.update(
                bar,
                completed=measurement.requests,
                failed=failed,
                in_flight=replaying.in_flight,
            )

        replaying = Replay(workload, client, count, speedup=speedup)
        async with client:
            await replaying.run()
    return measurement.result(
        name=options["name"] or url,
        url=url,
        model=model,
        workload=workload.description,
    )


def _progress() -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[in_flight]} in flight, {task.fields[failed]} failed"),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal or os.environ.get("TERM") == "dumb",
    )


def _headers(given: tuple[str, ...], api_key: str | None) -> dict[str, str]:
    headers: dict[str, str] = {}
    for header in given:
        name, colon, value = header.partition(":")
        if not colon:
            raise click.UsageError(f"--header {header!r} is not NAME:VALUE")
        headers[name.strip()] = value.strip()
    if api_key:
        headers["authorization"] = f"Bearer {api_key}"
    return headers
