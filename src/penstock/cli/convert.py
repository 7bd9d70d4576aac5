"""Make a configuration of a file of nginx or HAProxy."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from penstock.cli._output_file import write_configuration

if TYPE_CHECKING:
    from penstock.config.convert.outcome import LeftOut, Outcome

EXAMPLES: Final = """\b
Examples:
  penstock convert /etc/nginx/nginx.conf > penstock.yaml
  penstock convert haproxy.cfg -o penstock.yaml
  penstock convert site.conf --from nginx --without-access-rules"""
_KINDS: Final = ("nginx", "haproxy")


@click.command(epilog=EXAMPLES)
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--from", "kind", type=click.Choice(_KINDS), help="Default: by the file's name.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Default: printed."
)
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@click.option(
    "--without-access-rules",
    is_flag=True,
    help="Go on where a rule of access has no counterpart: more will get through than before.",
)
@click.pass_context
def convert(
    ctx: click.Context,
    file: Path,
    kind: str | None,
    output: Path | None,
    force: bool,
    without_access_rules: bool,
) -> None:
    """Make a configuration of FILE, an nginx.conf or a haproxy.cfg, and list what it leaves out.

    What both have in common is kept: addresses, certificates, hosts, paths, servers, checks,
    timeouts. Each line that is left out is told with file and line. Rules of access (allow, deny,
    auth …) are never dropped in silence: where one has no counterpart, nothing is written, and the
    exit code is 1.
    """
    outcome = _converted(file, kind or _kind_of(file))
    _tell(outcome.left_out)
    if outcome.access and not without_access_rules:
        raise click.ClickException(
            f"{len(outcome.access)} rules of access have no counterpart (marked ACCESS above), so "
            "nothing is written: what they guard would be open. Guard it otherwise, then "
            "--without-access-rules"
        )
    text = outcome.text()
    directory = file.absolute().parent if output is None else output.absolute().parent
    if output is not None:
        _write_files(output, outcome.files, force)
    problems = _problems(text, directory)
    if output is None:
        for name in outcome.files:
            click.echo(f"{name} belongs beside it: with -o it is written too", err=True)
        click.echo(text, nl=False)
    else:
        write_configuration(output, text, replace=force)
        click.echo(f"{output} is written. Next: penstock check {output}", err=True)
    for problem in problems:
        click.echo(f"To correct: {problem}", err=True)
    ctx.exit(1 if problems else 0)


def _write_files(output: Path, files: dict[str, str], force: bool) -> None:
    """What the result reads; nothing where any of it, or the result, is there already."""
    beside = {output.absolute().parent / name: text for name, text in files.items()}
    for path in (output, *beside):
        if path.exists() and not force:
            raise click.ClickException(f"{path} is there already: --force replaces it")
    for path, text in beside.items():
        write_configuration(path, text, replace=force)
        click.echo(f"{path} is written: users and hashed passwords", err=True)


def _kind_of(file: Path) -> str:
    if file.suffix == ".cfg" or "haproxy" in file.name:
        return "haproxy"
    if file.suffix == ".conf" or "nginx" in str(file):
        return "nginx"
    raise click.UsageError(f"is {file} of nginx or of HAProxy? Say it: --from nginx")


def _converted(file: Path, kind: str) -> "Outcome":
    from penstock.config.convert.haproxy.convert import convert_haproxy
    from penstock.config.convert.nginx.convert import convert_nginx
    from penstock.config.convert.nginx.reader import UnreadableFileError

    try:
        return convert_nginx(file) if kind == "nginx" else convert_haproxy(file)
    except (UnreadableFileError, OSError, UnicodeDecodeError) as error:
        raise click.ClickException(str(error)) from error
    except (ValueError, IndexError) as error:
        raise click.ClickException(f"{file}: {error}; does {kind} itself take it?") from error


def _tell(left_out: "Sequence[LeftOut]") -> None:
    marks = {"access": "ACCESS    ", "part": "left out  ", "needless": "not needed"}
    for kind, mark in marks.items():
        for each in left_out:
            if each.kind == kind:
                click.echo(f"{mark} {each}", err=True)


def _problems(text: str, directory: Path) -> list[str]:
    """What `penstock check` says against it there, where paths of files begin."""
    from penstock.config.compile.snapshot import compile_document
    from penstock.config.load.document import load_text
    from penstock.config.load.errors import ConfigError

    try:
        compile_document(load_text(text, "the result", directory), None)
    except ConfigError as error:
        return [line for line in str(error).splitlines() if not line.endswith("errors:")]
    return []
