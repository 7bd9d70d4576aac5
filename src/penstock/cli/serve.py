"""Balance requests over endpoints."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from penstock.config.compile.configured import Configured

EXAMPLES: Final = """\b
Examples:
  penstock serve http://10.0.0.1:8000 http://10.0.0.2:8000
  penstock serve http://gpu1:8000 http://gpu2:8000 --listen 0.0.0.0:8080 \\
      --kind llm --health-check /health
  penstock serve udp://10.0.0.7:7101 udp://10.0.0.8:7101 --listen 0.0.0.0:7777
  penstock serve --config penstock.yaml"""
_CONFIGURATIONS: Final = (".yaml", ".yml", ".toml", ".json")
_TOKEN_VARIABLE: Final = "PENSTOCK_ADMIN_TOKEN"  # noqa: S105


@click.command(epilog=EXAMPLES)
@click.argument("urls", metavar="[URL]...", nargs=-1)
@click.option(
    "-c",
    "--config",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Configuration file (YAML, TOML or JSON), used instead of URLs and options.",
)
@click.option(
    "--listen",
    multiple=True,
    metavar="HOST:PORT|unix:PATH",
    help="Speaks what the endpoints do; tcp:// or udp:// before it says so outright. Default: "
    "127.0.0.1:8080.",
)
@click.option(
    "--kind", metavar="http|llm", help="llm: the endpoints serve language models. Default: http."
)
@click.option(
    "--policy",
    metavar="NAME",
    help="How an endpoint is chosen. Default: least-request; marginal-cost with --kind llm.",
)
@click.option(
    "-o",
    "--policy-option",
    "policy_options",
    multiple=True,
    metavar="NAME=VALUE",
    help="Set an option of the policy; repeatable.",
)
@click.option("--health-check", metavar="PATH|tcp|off", help="Active health checks. Default: off.")
@click.option(
    "--host-header",
    metavar="auto|pass|endpoint|HOST",
    help="Host that endpoints get: the client's (pass) or their own. Default: auto, which is their "
    "own for https:// endpoints given by name.",
)
@click.option("--workers", metavar="N|auto", help="Worker processes. Default: one per core.")
@click.option("--admin", metavar="HOST:PORT|off", help="Default: 127.0.0.1:9900.")
@click.option(
    "--admin-token",
    envvar=_TOKEN_VARIABLE,
    show_envvar=True,
    metavar="TOKEN",
    help="Required if the admin address is not on loopback; prefer the environment variable.",
)
@click.option("--request-log", metavar="off|stdout|PATH", help="Default: off.")
@click.option("--shutdown-deadline", metavar="DURATION", help="Default: 30s.")
@click.pass_context
def serve(ctx: click.Context, /, urls: tuple[str, ...], file: Path | None, **options: Any) -> None:
    """Balance requests over the given endpoint URLs, or as a configuration file says.

    SIGHUP reloads the configuration; SIGTERM finishes running requests and exits; SIGUSR2
    hands over to the version that is installed now.
    """
    if file is None:
        serve_endpoints(ctx, urls, options)
    else:
        _serve(ctx, _from_file(ctx, file))


def serve_endpoints(ctx: click.Context, urls: tuple[str, ...], options: dict[str, Any]) -> None:
    """Serve as a command line says, by the options of ``serve``."""
    _serve(ctx, _from_options(urls, options))


def _serve(ctx: click.Context, read: Callable[[], "Configured"]) -> None:
    from penstock.cli._read_apart import read_apart
    from penstock.config.load.errors import ConfigError

    try:
        configured = read_apart(read, _import_supervisor) or read()
    except ConfigError as error:
        from penstock.control.upgrade.predecessor import tell_failure

        tell_failure(str(error))
        raise click.ClickException(str(error)) from error
    from penstock.control.supervisor import run

    ctx.exit(run(configured, read, sys.argv[1:]))


def _import_supervisor() -> None:
    import penstock.control.supervisor  # noqa: F401


def _from_file(ctx: click.Context, file: Path) -> Callable[[], "Configured"]:
    for parameter in ctx.command.params:
        source = ctx.get_parameter_source(parameter.name or "")
        if source is ParameterSource.COMMANDLINE and parameter.name != "file":
            name = parameter.opts[0] if isinstance(parameter, click.Option) else "URLs"
            raise click.UsageError(f"{name} cannot be combined with --config: set it in {file}")

    def read() -> "Configured":
        from penstock.config.compile.snapshot import load_configuration

        return load_configuration(file)

    return read


def _from_options(urls: tuple[str, ...], options: dict[str, Any]) -> Callable[[], "Configured"]:
    if not urls:
        raise click.UsageError(
            "give endpoint URLs, or --config FILE; to look around, run `penstock demo`"
        )
    files = [url for url in urls if Path(url).suffix in _CONFIGURATIONS and "://" not in url]
    if files:
        raise click.UsageError(f"{files[0]} is a file: penstock serve --config {files[0]}")
    given = {name: value for name, value in options.items() if value not in (None, ())}
    if "admin_token" not in given and os.environ.get(_TOKEN_VARIABLE) == "":
        raise click.UsageError(f"{_TOKEN_VARIABLE} is empty: set a token, or unset it for none")
    if "policy_options" in given:
        given["policy_options"] = _pairs(given["policy_options"])

    def read() -> "Configured":
        from penstock.config.compile.snapshot import configure_endpoints

        return configure_endpoints(urls, **given)

    return read


def _pairs(options: tuple[str, ...]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for option in options:
        name, equals, value = option.partition("=")
        if not equals:
            raise click.UsageError(f"--policy-option {option}: write NAME=VALUE")
        pairs[name] = value
    return pairs
