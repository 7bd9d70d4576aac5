"""Simulate policies on a virtual clock, side by side."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from signal import SIGINT, SIGTERM, signal
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from penstock.cli._output_file import OutputFile, writing

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from penstock.sim.scenario import Scenario

T = TypeVar("T")
EXAMPLES: Final = """\b
Examples:
  penstock simulate examples/scenarios/heterogeneous.yaml --html report.html
  penstock simulate --servers 10 --load 0.9 -p random -p round-robin -p least-request --theory
  penstock simulate --servers 10 --sweep load=0.5..0.95 -p random -p least-request --html load.html
  penstock simulate --decisions decisions.jsonl -p least-request -p cache-aware
  penstock simulate --servers 1 --load 0.8 --law hyper-exponential --cv2 4 --theory"""
_EMPTY: Final[dict[str, Any]] = {"arrivals": {"load": 0.8}, "servers": [{"count": 10}]}


@click.command(epilog=EXAMPLES)
@click.argument("scenario", required=False, type=click.Path(path_type=Path))
@click.option(
    "-p", "--policy", "policies", multiple=True, help="Policy to run; repeat to compare several."
)
@click.option("--servers", type=click.IntRange(min=1), help="Number of equal servers.")
@click.option(
    "--slots", type=click.IntRange(min=1), help="Requests that each server processes at once."
)
@click.option(
    "--room",
    type=click.IntRange(min=0),
    help="Maximum requests at a server, waiting ones included; 0: unlimited.",
)
@click.option("--sharing", is_flag=True, help="Servers share their time among all their requests.")
@click.option("--arrivals", help="Arrival process: poisson, deterministic, gamma, weibull …")
@click.option("--load", type=click.FloatRange(min=0), help="Offered load, as a share of capacity.")
@click.option(
    "--rate", type=click.FloatRange(min=0), help="Requests per second, instead of --load."
)
@click.option(
    "--law", help="Distribution of service times: exponential, deterministic, log-normal …"
)
@click.option("--mean", help="Mean service time, such as 250ms.")
@click.option(
    "--cv2", type=click.FloatRange(min=0), help="Squared coefficient of variation of service times."
)
@click.option(
    "--balancers",
    type=click.IntRange(min=1),
    help="Number of balancers, which do not see each other's requests.",
)
@click.option("--objective", help="Response time within which an answer counts as goodput.")
@click.option("--timeout", help="Clients give up after this time.")
@click.option("--customers", type=click.IntRange(min=1), help="Requests in each replication.")
@click.option(
    "--replications", type=click.IntRange(min=1), help="Independent runs, for confidence intervals."
)
@click.option("--seed", type=click.IntRange(min=0), help="Random seed.")
@click.option(
    "--processes", type=click.IntRange(min=1), help="Processes to run in. Default: one per core."
)
@click.option(
    "--decisions",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Replay recorded decisions instead: JSON lines from `penstock ctl decisions --json`.",
)
@click.option(
    "--sweep",
    metavar="load=FROM..TO",
    help="Run at loads (or rates) from FROM to TO and plot each measure. FROM..TO:POINTS sets how "
    "many (default: 10); A,B,C lists them.",
)
@click.option(
    "--theory", is_flag=True, help="Show closed forms of queueing theory where they are known."
)
@click.option("--html", type=OutputFile(), help="Write an HTML report to this file.")
@click.option("--json", type=OutputFile(), help="Write all numbers to this JSON file.")
def simulate(
    scenario: Path | None,
    processes: int | None,
    decisions: Path | None,
    sweep: str | None,
    theory: bool,
    html: Path | None,
    json: Path | None,
    **options: Any,
) -> None:
    """Run the policies themselves against simulated clients and servers.

    SCENARIO is a YAML file; options replace what it says. Without a file, ten equal servers at a
    load of 0.8, Poisson arrivals and exponential service of mean 1 s.
    """
    from penstock.config.load.errors import ConfigError

    if decisions is not None:
        if html is not None or sweep is not None:
            option = "--sweep" if html is None else "--html"
            raise click.UsageError(f"{option} cannot be combined with --decisions")
        from penstock.cli._decision_replay import replay_decisions

        replay_decisions(decisions, options["policies"], options["seed"] or 1, json)
        return
    changes = _changes({key: value for key, value in options.items() if value})
    try:
        if sweep is not None:
            _show_sweep(scenario, changes, sweep, processes, theory, html, json)
        else:
            _show(_scenario(scenario, changes), processes, theory, html, json)
    except ConfigError as error:
        raise click.ClickException(str(error)) from error


def _show(
    scenario: "Scenario", processes: int | None, theory: bool, html: Path | None, json: Path | None
) -> None:
    from rich.console import Console

    from penstock.sim.experiment import compare
    from penstock.sim.report.data import comparison_json
    from penstock.sim.report.page import comparison_page
    from penstock.sim.report.table import comparison_table
    from penstock.sim.report.tenants import tenant_tables

    _warn(scenario)
    comparison = _run(partial(compare, scenario, processes=processes, timeline=html is not None))
    if html is not None:
        with writing(html):
            html.write_text(comparison_page(comparison, with_theory=theory), "utf-8")
    if json is not None:
        with writing(json):
            json.write_bytes(comparison_json(comparison))
    Console().print(
        comparison_table(comparison, with_theory=theory), *tenant_tables(comparison), sep="\n"
    )  # last: its reader may be gone


def _show_sweep(
    path: Path | None,
    changes: dict[str, Any],
    text: str,
    processes: int | None,
    theory: bool,
    html: Path | None,
    json: Path | None,
) -> None:
    from rich.console import Console

    from penstock.sim.report.swept import sweep_json, sweep_page, sweep_table
    from penstock.sim.sweep import parse_range, sweep

    try:
        over = parse_range(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--sweep") from error

    def make(arrivals: Mapping[str, Any]) -> "Scenario":
        given = changes.get("arrivals", {})
        return _scenario(path, changes | {"arrivals": given | dict(arrivals)})

    _warn(make({"load": None, "rate": None, over.key: over.values[-1]}))
    found = _run(partial(sweep, make, over, processes=processes))
    if html is not None:
        with writing(html):
            html.write_text(sweep_page(found, with_theory=theory), "utf-8")
    if json is not None:
        with writing(json):
            json.write_bytes(sweep_json(found))
    Console().print(sweep_table(found, with_theory=theory))


def _warn(scenario: "Scenario") -> None:
    """Refuse settings that are hardly intended, before a long run."""
    from penstock.sim.likely_mistakes import likely_mistakes

    for mistake in likely_mistakes(scenario):
        click.echo(f"Warning: {mistake}", err=True)


def _scenario(path: Path | None, changes: dict[str, Any]) -> "Scenario":
    from penstock.sim.scenario_file import load_scenario, scenario_of

    if path is not None:
        return load_scenario(path, changes)
    return scenario_of(_EMPTY | changes)


def _changes(given: dict[str, Any]) -> dict[str, Any]:
    """Keys of a scenario from the options that were given."""
    changes: dict[str, Any] = {}
    servers = {
        key: given[option]
        for key, option in (("count", "servers"), ("slots", "slots"), ("room", "room"))
        if option in given
    }
    if "sharing" in given:
        servers["model"] = "sharing"
    if servers:
        changes["servers"] = [{"count": 10} | servers]
    service = {key: given[key] for key in ("law", "mean", "cv2") if key in given}
    if service:
        changes["service"] = service
    arrivals: dict[str, Any] = {k: given[k] for k in ("load", "rate") if k in given}
    if "arrivals" in given:
        arrivals["kind"] = given["arrivals"]
    if arrivals:
        if not {"load", "rate"} & arrivals.keys():
            arrivals["load"] = 0.8
        changes["arrivals"] = arrivals
    run = {key: given[key] for key in ("customers", "replications", "seed") if key in given}
    if run:
        changes["run"] = run
    if "policies" in given:
        changes["policies"] = list(given["policies"])
    changes |= {key: given[key] for key in ("balancers", "objective", "timeout") if key in given}
    return changes


def _run(work: Callable[..., T]) -> T:
    """Run it with a progress bar, so that Ctrl-C can interrupt it."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from penstock.sim.outcome import OwnPolicyError
    from penstock.sim.parallel import ProcessDiedError, StoppedError

    columns = (TextColumn("runs"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    shown = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    with _signals() as received, shown as progress:
        bar = progress.add_task("runs", total=None)
        try:
            return work(
                on_progress=lambda done, total: progress.update(bar, completed=done, total=total),
                stop=received,
            )
        except (OwnPolicyError, ProcessDiedError) as error:
            raise click.ClickException(str(error)) from error
        except StoppedError:
            number = received.recv()
    if number == SIGINT:
        raise click.Abort
    sys.exit(128 + number)  # as shells tell it


@contextmanager
def _signals() -> "Iterator[Connection]":
    """Where the numbers of Ctrl-C and SIGTERM can be read in place of what these do otherwise.

    Raised in the midst of anything, an exception is lost where Python cannot let it out.
    """
    from multiprocessing import Pipe

    received, told = Pipe(duplex=False)
    before = {
        number: signal(number, lambda number, _: told.send(number)) for number in (SIGINT, SIGTERM)
    }
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal(number, handler)
