"""The ``penstock`` command: finds its verbs, one module each, and runs the one that is asked for.

A verb is a module of this package with a click command of the same name; the first line of the
module's docstring is its line in ``penstock --help``. Only the verb that runs is imported.
"""

import ast
import gc
import os
import platform
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Final

import click

import penstock.cli
from penstock import __version__
from penstock.cli._output_file import end_without_output, is_about_room

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_OWN_MODULE: Final = "main"
_COLLECT_AFTER: Final = 50_000  # objects made; Python's own is 700
_CONFIGURATIONS: Final = (".yaml", ".yml", ".toml", ".json")
# What people who know other balancers, or half of ours, type.
_MEANT: Final = {
    "bench": "replay",
    "benchmark": "replay",
    "config": "check FILE",
    "configtest": "check FILE",
    "diagnose": "doctor FILE",
    "help": "--help",
    "import": "convert FILE",
    "lint": "check FILE",
    "load": "replay",
    "migrate": "convert FILE",
    "mock": "emulate",
    "new": "init",
    "proxy": "serve",
    "quit": "ctl stop",
    "restart": "ctl reload",
    "run": "serve",
    "schema": "check --print-schema",
    "setup": "init",
    "shutdown": "ctl stop",
    "sim": "simulate",
    "start": "serve",
    "stats": "ctl status",
    "test": "check FILE",
    "top": "ctl status",
    "up": "serve",
    "validate": "check FILE",
    "verify": "check FILE",
    "version": "--version",
}
EXAMPLES: Final = """\b
Examples:
  penstock serve http://gpu1:8000 http://gpu2:8000 --listen 0.0.0.0:8080
  penstock check penstock.yaml"""


class Verbs(click.Group):
    """The verbs, found by their modules."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every verb, in alphabetical order."""
        names = (module.name for module in iter_modules(penstock.cli.__path__))
        return sorted(
            name.replace("_", "-")
            for name in names
            if name != _OWN_MODULE and not name.startswith("_")
        )

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb, imported; None when there is none of that name."""
        if cmd_name not in self.list_commands(ctx):
            return None
        name = cmd_name.replace("-", "_")
        verb = getattr(import_module(f"penstock.cli.{name}"), name)
        assert isinstance(verb, click.Command)
        return verb

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Names the likely intended verb when there is none of the name given."""
        from difflib import get_close_matches

        known = self.list_commands(ctx)
        if args and args[0] not in known and not args[0].startswith("-"):
            meant = _MEANT.get(args[0]) or _verb_of_ctl(args[0])
            if meant:
                ctx.fail(f"no verb {args[0]!r}; did you mean `penstock {meant}`?")
            if Path(args[0]).suffix in _CONFIGURATIONS:
                ctx.fail(f"no verb {args[0]!r}; did you mean `penstock serve --config {args[0]}`?")
            if "://" in args[0]:
                ctx.fail(f"no verb {args[0]!r}; did you mean `penstock serve {args[0]}`?")
            close = get_close_matches(args[0], known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(known)}"
            ctx.fail(f"no verb {args[0]!r}; {hint}")
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem]":
        """Verbs for a shell, without importing any."""
        from click.shell_completion import CompletionItem

        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        verbs = [CompletionItem(name, help=summary(name)) for name in names]
        return verbs or click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Each verb with its line, without importing any."""
        rows = [(name, summary(name)) for name in self.list_commands(ctx)]
        with formatter.section("Verbs"):
            formatter.write_dl(rows)


def _verb_of_ctl(name: str) -> str:
    """The usage of that verb of ``penstock ctl``; empty when it has none of that name."""
    from penstock.cli.ctl import ctl

    verb = ctl.commands.get(name)
    if verb is None:
        return ""
    pieces = verb.collect_usage_pieces(click.Context(verb))
    return " ".join(["ctl", name, *(piece for piece in pieces if piece != "[OPTIONS]")])


def summary(verb: str) -> str:
    """The first line of the docstring of a verb's module, read without running it."""
    spec = find_spec(f"penstock.cli.{verb.replace('-', '_')}")
    source = spec.loader.get_source(spec.name) if spec and spec.loader else None  # type: ignore[attr-defined]
    docstring = ast.get_docstring(ast.parse(source)) if source else None
    return (docstring or "").partition("\n")[0].rstrip(".")


def _print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    from penstock._form import form

    python = f"{platform.python_implementation()} {platform.python_version()}"
    click.echo(f"penstock {__version__} ({form()}, {python})")
    ctx.exit()


@click.group(cls=Verbs, epilog=EXAMPLES, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and whether it runs compiled or interpreted, then exit.",
)
def penstock_command() -> None:
    """A load balancer for AI systems: HTTP and language-model serving."""


def main() -> None:
    """Entry point of the console script."""
    # Imports make much that stays and little garbage: looking for it took a fifth of the time in
    # which the model of a configuration is made.
    gc.set_threshold(_COLLECT_AFTER, 20, 100)
    # Policies of one's own are modules beside the configuration: found here as `python -m` would.
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        penstock_command(prog_name="penstock")
    except OSError as error:
        if not is_about_room(error):
            raise
        end_without_output(error)
