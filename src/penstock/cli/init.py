"""Write a first configuration file."""

import asyncio
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from penstock.cli._output_file import write_configuration

if TYPE_CHECKING:
    from penstock.control.engines.finding import Found

EXAMPLES: Final = """\b
Examples:
  penstock init                      asks, with the engines of this machine as answers
  penstock init --yes                asks nothing
  penstock init http://gpu1:8000 http://gpu2:8000 --kind llm --listen 0.0.0.0:8080
  penstock init http://10.0.0.1:9000 -o shop.yaml --health-check /healthz"""
_FIRST_LISTEN: Final = 8080
_FIRST_ADMIN: Final = 9900
_PORTS_TRIED: Final = 20
_NOTHING: Final = (
    "no engine answers on this machine's usual ports: give the URLs of your servers, "
    "`penstock init http://10.0.0.1:8000 http://10.0.0.2:8000`, or try it with emulated ones, "
    "`penstock emulate --count 2`"
)


@click.command(epilog=EXAMPLES)
@click.argument("urls", metavar="[URL]...", nargs=-1)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("penstock.yaml"),
    show_default=True,
    help="The file to write; `-` prints it.",
)
@click.option("--kind", type=click.Choice(["http", "llm"]), help="What the servers serve.")
@click.option(
    "--listen", metavar="HOST:PORT", help="Default: 127.0.0.1:8080, or a free port after."
)
@click.option("--health-check", metavar="PATH|tcp|off", help="Default: what the servers answer.")
@click.option("--policy", metavar="NAME", help="Default: the kind's own.")
@click.option(
    "--admin", metavar="HOST:PORT|off", help="Default: 127.0.0.1:9900, or a free port after."
)
@click.option(
    "--ports",
    metavar="PORT,…",
    help="Where engines are looked for, on this machine. Default: where they usually listen.",
)
@click.option("-y", "--yes", is_flag=True, help="Ask nothing: what is not given is decided.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def init(
    urls: tuple[str, ...],
    output: Path,
    kind: str | None,
    listen: str | None,
    health_check: str | None,
    policy: str | None,
    admin: str | None,
    ports: str | None,
    yes: bool,
    force: bool,
) -> None:
    """Write a first file, with the given URLs as endpoints or with the engines found here.

    vLLM, SGLang, llama.cpp, Ollama and TGI are looked for on the ports of this machine where they
    usually listen. What is not given is asked for at a terminal. The file passes `penstock check`.
    """
    from penstock.cli._first_file import Choices, first_file

    to_stdout = str(output) == "-"
    if not to_stdout and output.exists() and not force:
        raise click.ClickException(
            f"{output} is there already: --force replaces it, -o names another"
        )
    ask = not yes and _at_terminal()
    found = _servers(urls, ports, ask)
    serves_models = any(each.serves_models for each in found)
    kind = kind or _asked(
        ask, "What do they serve, http or llm", "llm" if serves_models else "http"
    )
    listen = listen or _asked(ask, "Where do clients connect", _free(_FIRST_LISTEN, found))
    checked = _usual_check(found)
    health_check = health_check or _asked(ask, "Health check: a path, tcp or off", checked)
    admin = admin or _free(_FIRST_ADMIN, found)
    name = "FILE" if to_stdout else str(output)
    text = first_file(Choices(kind, listen, admin, health_check, found, policy or ""), name)
    _check(text)
    if to_stdout:
        click.echo(text, nl=False)
        return
    write_configuration(output, text, replace=force)
    click.echo(f"{output} is written. Next: penstock serve --config {output}")


def _at_terminal() -> bool:
    return sys.stdin.isatty()


def _servers(urls: Sequence[str], ports: str | None, ask: bool) -> "list[Found]":
    from penstock.control.engines.finding import USUAL_PORTS, look_at, look_at_usual_ports

    if not urls:
        numbers = _numbers(ports) if ports else list(USUAL_PORTS)
        found = asyncio.run(look_at_usual_ports(numbers))
        for each in found:
            click.echo(f"found {each.engine or 'a server of models'} at {each.url}", err=True)
        if not ask:
            if not found:
                raise click.ClickException(_NOTHING)
            return found
        default = " ".join(each.url for each in found) or None
        urls = click.prompt("URLs of your servers", default=default).replace(",", " ").split()
        known = {each.url: each for each in found}
        if all(url in known for url in urls):
            return [known[url] for url in urls]
    try:
        return asyncio.run(look_at(urls))
    except ValueError as error:
        raise click.ClickException(str(error)) from error


def _numbers(ports: str) -> list[int]:
    numbers = [int(each) for each in ports.split(",") if each.strip().isdecimal()]
    if len(numbers) != len(ports.split(",")) or not all(0 < each < 65536 for each in numbers):
        raise click.UsageError(f"--ports {ports}: write port numbers, such as 8000,30000")
    return numbers


def _asked(ask: bool, question: str, default: str) -> str:
    return str(click.prompt(question, default=default)) if ask else default


def _usual_check(found: "Sequence[Found]") -> str:
    """A path that all of them answer with 200, else whether they can be connected to."""
    paths = {each.health for each in found if not each.problem}
    return paths.pop() if len(paths) == 1 and "" not in paths else "tcp"


def _free(first: int, found: "Sequence[Found]") -> str:
    """An address of this machine on which nothing listens."""
    taken = {each.url.rpartition(":")[2] for each in found}
    for port in range(first, first + _PORTS_TRIED):
        if str(port) not in taken:
            with socket.socket() as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    sock.bind(("127.0.0.1", port))
                except OSError:
                    continue
            return f"127.0.0.1:{port}"
    return f"127.0.0.1:{first}"


def _check(text: str) -> None:
    """Raises ClickException where the file would not pass `penstock check`."""
    from tempfile import TemporaryDirectory

    from penstock.config.compile.snapshot import load_configuration
    from penstock.config.load.errors import ConfigError

    with TemporaryDirectory() as directory:
        file = Path(directory) / "penstock.yaml"
        file.write_text(text, encoding="utf-8")
        try:
            load_configuration(file)
        except ConfigError as error:
            told = str(error).replace(f"{file}:", "the file would not be valid, line ")
            raise click.ClickException(told) from error
