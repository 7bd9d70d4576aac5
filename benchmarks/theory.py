"""The simulator beside theory: ``python -m benchmarks.theory --write-docs`` writes docs/theory.md
and the values in docs/data/theory.csv.

Runs every case of ``penstock.sim.theory_cases`` until its intervals are narrow enough, or
``--most`` requests were spent on it. ``--only`` and ``--precision`` make it shorter.
"""

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import click

from benchmarks import data
from benchmarks.data import Record
from benchmarks.marked import replace
from penstock._form import form
from penstock.sim.theory_cases import cases
from penstock.sim.validation import Finding, examine, simultaneous_factor

FILE: Final = Path("docs") / "theory.md"
DATA: Final = "theory"


@click.command()
@click.option("--precision", default=0.01, show_default=True, help="Half-width over value.")
@click.option("--most", default=400_000_000, show_default=True, help="Requests spent on a case.")
@click.option("--only", default="", help="Cases whose model contains this.")
@click.option("--processes", default=1, show_default=True)
@click.option("--write-docs", is_flag=True, help=f"Replace the summary in {FILE}, and its data.")
def main(precision: float, most: int, only: str, processes: int, write_docs: bool) -> None:
    """Measure, and print each value and the summary."""
    findings: list[Finding] = []
    with ExitStack() as stack:
        executor = None
        if processes > 1:
            pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"))
            executor = stack.enter_context(pool)
        for case in cases():
            if only.lower() not in case.model.lower():
                continue
            found = examine(case, precision=precision, most=most, executor=executor)
            findings += found
            for finding in found:
                click.echo("  ".join(_record(finding).values()), err=True)
    text = "\n".join(_summary(findings, precision))
    click.echo(text)
    if write_docs:
        replace(FILE, "theory", text, "# The simulator beside theory\n")
        data.write(DATA, [_record(finding) for finding in findings])


def _summary(findings: list[Finding], precision: float) -> Iterator[str]:
    exact = [finding for finding in findings if finding.case.exact]
    covered = sum(finding.covered for finding in exact)
    together = sum(
        finding.off <= simultaneous_factor(len(exact), finding.measured.replications)
        for finding in exact
    )
    wide = [f for f in exact if not _is_precise(f, precision)]
    minutes = sum(os.times()[:4]) / 60.0
    requests = sum(f.customers for f in {id(f.case): f for f in findings}.values())
    yield (
        f"`{' '.join(['python -m benchmarks.theory', *sys.argv[1:]])}`, on "
        f"{datetime.now(UTC):%Y-%m-%d}, {form()}: {requests:,} requests in {minutes:.1f} "
        "minutes of CPU."
    )
    yield ""
    yield (
        f"- {len(exact)} values that theory knows exactly; {len(exact) - len(wide)} of the "
        f"intervals are narrower than ±{precision:.0%}."
    )
    yield (
        f"- {covered} of {len(exact)} lie in their own 95% interval; by chance alone "
        f"{0.95 * len(exact):.1f} would."
    )
    yield (
        f"- {together} of {len(exact)} lie in intervals so wide that all of them would cover "
        "with a probability of 95% (Šidák)."
    )
    if wide:
        named = "; ".join(
            f"{f.case.model}, {f.case.setting}, {f.quantity.name}: "
            f"±{f.measured.half_width / abs(f.quantity.expected):.1%}"
            for f in wide
        )
        yield f"- Wider than ±{precision:.0%}, for want of requests: {named}."


def _is_precise(finding: Finding, precision: float) -> bool:
    return finding.measured.half_width <= precision * abs(finding.quantity.expected)


def _record(finding: Finding) -> Record:
    case, measured = finding.case, finding.measured
    covered = "yes" if finding.covered else "no"
    if not case.exact:
        covered = "approximation"
    return {
        "model": case.model,
        "setting": case.setting,
        "quantity": finding.quantity.name,
        "theory": f"{finding.quantity.expected:.6g}",
        "simulated": f"{measured.mean:.6g}",
        "simulated ±": f"{measured.half_width:.3g}",
        "off": f"{finding.off:.2f}",
        "requests": f"{finding.customers:.2g}",
        "covered": covered,
    }


if __name__ == "__main__":
    main()
