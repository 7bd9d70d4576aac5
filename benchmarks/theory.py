"""The simulator beside theory: ``python -m benchmarks.theory --write-docs`` makes docs/theory.md.

Runs every case of ``penstock.sim.validation`` until its intervals are narrow enough; a full run is
three billion simulated requests, about 40 minutes of one core, compiled. ``--only`` and
``--precision`` make it shorter.
"""

from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from time import monotonic
from typing import Final

import click

from penstock._form import form
from penstock.sim.validation import Finding, cases, examine, simultaneous_factor

FILE: Final = Path("docs") / "theory.md"
BEGIN: Final = "<!-- Begin: written by benchmarks.theory -->"
END: Final = "<!-- End: written by benchmarks.theory -->"


@click.command()
@click.option("--precision", default=0.01, show_default=True, help="Half-width over value.")
@click.option("--only", default="", help="Cases whose model contains this.")
@click.option("--processes", default=1, show_default=True)
@click.option("--write-docs", is_flag=True, help=f"Replace the table in {FILE}.")
def main(precision: float, only: str, processes: int, write_docs: bool) -> None:
    """Measure, and print the table."""
    began = monotonic()
    findings: list[Finding] = []
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as executor:
        for case in cases():
            if only.lower() not in case.model.lower():
                continue
            found = examine(case, precision=precision, executor=executor)
            findings += found
            for finding in found:
                click.echo(_line(finding), err=True)
    text = _document(findings, precision, monotonic() - began)
    click.echo(text)
    if write_docs:
        _replace(text)


def _document(findings: list[Finding], precision: float, seconds: float) -> str:
    rows = [
        "| model | setting | quantity | theory | simulated | ± | off | requests | covered |",
        "|---|---|---|--:|--:|--:|--:|--:|---|",
        *[_row(finding) for finding in findings],
    ]
    return "\n".join([BEGIN, *_summary(findings, precision, seconds), "", *rows, END])


def _summary(findings: list[Finding], precision: float, seconds: float) -> list[str]:
    exact = [finding for finding in findings if finding.case.exact]
    covered = sum(finding.covered for finding in exact)
    together = sum(
        finding.off <= simultaneous_factor(len(exact), finding.measured.replications)
        for finding in exact
    )
    precise = sum(f.measured.half_width <= precision * abs(f.quantity.expected) for f in exact)
    requests = sum(f.customers for f in {id(f.case): f for f in findings}.values())
    return [
        f"Measured on {datetime.now(UTC):%Y-%m-%d}, {form()}, {requests:,} requests in "
        f"{seconds / 60:.0f} minutes.",
        "",
        f"- {len(exact)} values that theory knows exactly; {precise} of the intervals are "
        f"narrower than ±{precision:.0%}.",
        f"- {covered} of {len(exact)} lie in their own 95% interval; by chance alone "
        f"{0.95 * len(exact):.1f} would.",
        f"- {together} of {len(exact)} lie in intervals so wide that all of them would cover "
        "with a probability of 95% (Šidák).",
    ]


def _row(finding: Finding) -> str:
    case, measured = finding.case, finding.measured
    covered = "yes" if finding.covered else "no"
    if not case.exact:
        covered = "approximation"
    return (
        f"| {case.model} | {case.setting} | {finding.quantity.name} "
        f"| {finding.quantity.expected:.6g} | {measured.mean:.6g} | {measured.precision:.2%} "
        f"| {finding.off:.2f} | {finding.customers:.2g} | {covered} |"
    )


def _line(finding: Finding) -> str:
    return _row(finding).strip("| ").replace(" | ", "  ")


def _replace(text: str) -> None:
    document = FILE.read_text("utf-8")
    before, _, rest = document.partition(BEGIN)
    _, _, after = rest.partition(END)
    FILE.write_text(before + text + after, "utf-8")


if __name__ == "__main__":
    main()
