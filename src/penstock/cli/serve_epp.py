"""Pick endpoints for a gateway, which sends the requests itself (Endpoint Picker)."""

from typing import Any, Final

import click

from penstock.cli.serve import serve_endpoints

_EPP: Final = "epp://"
EXAMPLES: Final = """\b
Examples:
  penstock serve-epp http://10.0.0.1:8000 http://10.0.0.2:8000
  penstock serve-epp http://10.0.0.1:8000 http://10.0.0.2:8000 --health-check /health \\
      --policy marginal-cost --listen 127.0.0.1:9002"""


@click.command("serve-epp", epilog=EXAMPLES)
@click.argument("urls", metavar="URL...", nargs=-1)
@click.option(
    "--listen",
    multiple=True,
    metavar="HOST:PORT",
    default=("127.0.0.1:9002",),
    show_default=True,
    help="Where the gateway asks. Whoever else may is said in a configuration file.",
)
@click.option(
    "--kind",
    metavar="http|llm",
    default="llm",
    show_default=True,
    help="llm: the endpoints serve language models.",
)
@click.option("--policy", metavar="NAME", help="Default: marginal-cost; least-request for http.")
@click.option(
    "-o",
    "--policy-option",
    "policy_options",
    multiple=True,
    metavar="NAME=VALUE",
    help="Set an option of the policy; repeatable.",
)
@click.option("--health-check", metavar="PATH|tcp|off", help="Active health checks. Default: off.")
@click.option("--workers", metavar="N|auto", help="Worker processes. Default: one per core.")
@click.option("--admin", metavar="HOST:PORT|off", help="Default: 127.0.0.1:9900.")
@click.option("--request-log", metavar="off|stdout|PATH", help="Default: off.")
@click.option("--shutdown-deadline", metavar="DURATION", help="Default: 30s.")
@click.pass_context
def serve_epp(ctx: click.Context, /, urls: tuple[str, ...], **options: Any) -> None:
    """Pick endpoints for a gateway such as Envoy, by the Endpoint Picker protocol.

    Short for a configuration with a listener of `protocol: epp`, which `penstock serve` takes;
    there, endpoints may be discovered, and gateways on other machines may ask.
    """
    options["listen"] = tuple(each if "://" in each else _EPP + each for each in options["listen"])
    serve_endpoints(ctx, urls, options)
