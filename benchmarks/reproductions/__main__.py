"""``python -m benchmarks.reproductions [NAME …]`` runs them and prints their sections."""

from pathlib import Path
from typing import Final

import click

from benchmarks.reproductions.learning import ARMS, SWITCH
from benchmarks.reproductions.mooncake import MOONCAKE
from benchmarks.reproductions.peak_ewma import PEAK_EWMA
from benchmarks.reproductions.power_of_two import POWER_OF_TWO
from benchmarks.reproductions.prefix_caches import PREFIX_CACHES
from benchmarks.reproductions.prequal import RAMP_UP, RULES
from benchmarks.reproductions.reproduction import FILE, Effort, Reproduction

ALL: Final[tuple[Reproduction, ...]] = (
    POWER_OF_TWO,
    RULES,
    RAMP_UP,
    PEAK_EWMA,
    SWITCH,
    ARMS,
    PREFIX_CACHES,
    MOONCAKE,
)


@click.command()
@click.argument("names", nargs=-1, type=click.Choice([each.name for each in ALL]))
@click.option("--trace", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--scale", default=1.0, show_default=True, help="Length of runs, over the default.")
@click.option("--processes", default=1, show_default=True)
@click.option("--write-docs", is_flag=True, help=f"Replace their sections of {FILE}.")
def main(
    names: tuple[str, ...], trace: Path | None, scale: float, processes: int, write_docs: bool
) -> None:
    """Run NAMES, by default all that need no trace."""
    effort = Effort(scale, processes, trace)
    for each in ALL:
        if each.name not in names and (names or (each.needs_trace and trace is None)):
            continue
        click.echo(f"== {each.title}", err=True)
        lines = each.run(effort)
        click.echo(each.section(lines))
        if write_docs:
            each.write(lines)


if __name__ == "__main__":
    main()
