"""The document: everything a configuration file may say.

One model for YAML, TOML and JSON; the JSON Schema, ``docs/configuration.md`` and every check of a
single value derive from it. What concerns several parts at once is checked by ``compile``.
"""

from typing import Annotated, Final, Literal

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
)

from penstock.config.document.addresses import Address
from penstock.config.document.admin import Admin, admin_of
from penstock.config.document.choice import Policy
from penstock.config.document.defaults import DEFAULT_UPGRADE_DEADLINE_S
from penstock.config.document.endpoints import Endpoints
from penstock.config.document.error_pages import ErrorPages
from penstock.config.document.health import HealthCheckOrOff
from penstock.config.document.jwt import Jwt
from penstock.config.document.limits import Prices
from penstock.config.document.listeners import Listener
from penstock.config.document.metrics import Metrics
from penstock.config.document.pools import Pool
from penstock.config.document.request_log import RequestLog, request_log_of
from penstock.config.document.routes import Route
from penstock.config.document.section import Section, setting
from penstock.config.document.show import show
from penstock.config.document.store import Store, store_section
from penstock.config.document.tenants import Tenants
from penstock.config.document.traces import Traces
from penstock.config.document.values import (
    Authority,
    ListenUrl,
    Name,
    OneOrMany,
    PositiveDuration,
    PositiveSize,
    Token,
)
from penstock.core import snapshot

ONLY: Final = "main"  # the listener and the pool of a short document
DEFAULT_LISTEN: Final = Address("127.0.0.1", 8080)
# As long as orchestrators wait before they kill (Kubernetes: terminationGracePeriodSeconds).
DEFAULT_SHUTDOWN_DEADLINE_S: Final = 30.0
_MOST_WORKERS: Final = 1024
EXTENSION: Final = "x-"  # top-level keys for a person's own anchors


def parse_workers(value: object) -> int | None:
    """A number of processes; None for ``auto``. Raises ValueError."""
    if value is None or value == "auto":
        return None
    text = str(value)
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:5]) <= _MOST_WORKERS:
        raise ValueError(
            f"`auto` or a number from 1 to {_MOST_WORKERS} is needed, not {show(value)}"
        )
    return int(text)


class Document(Section):
    """A whole configuration. `listen` and `endpoints` are enough; the rest adds to them."""

    listen: OneOrMany[ListenUrl] | None = setting(
        None,
        "Address or addresses of listeners, without TLS, that speak what their endpoints do. "
        f"`udp://host:port` and the like say it outright. Default: `{DEFAULT_LISTEN}`.",
    )
    endpoints: Endpoints | None = setting(None, "Servers of a single pool, called `main`.")
    kind: Literal["http", "llm"] | None = setting(
        None, "What that pool serves: `http`, the default, or `llm` for language models."
    )
    policy: Policy | None = setting(
        None, "How that pool chooses an endpoint. Default: as in `pools`, by `kind`."
    )
    health_check: HealthCheckOrOff = setting(None, "Active checks of that pool.")
    host_header: Authority | None = setting(None, "The Host that its endpoints get.")
    listeners: dict[Name, Listener] | None = setting(
        None, "Listeners by name, instead of `listen`."
    )
    routes: OneOrMany[Route] | None = setting(
        None,
        "Which requests go where; the first that matches wins. Default: all to the only pool.",
    )
    pools: dict[Name, Pool] | None = setting(None, "Pools by name, instead of `endpoints`.")
    tenants: Tenants | None = setting(
        None, "Who may ask, by name (docs/tenants.md). Where there are any, routes demand a key."
    )
    tenants_directory: Annotated[str, Field(min_length=1)] | None = setting(
        None,
        "Directory of further tenants, read again within a second: `<tenant>.yaml` is a section as "
        "in `tenants`, and `<tenant>.keys.yaml` holds keys alone, as `penstock keys` writes them.",
    )
    jwt: OneOrMany[Jwt] = setting((), "Issuers whose tokens name tenants, beside keys.")
    prices: Prices = setting({}, "What models cost, for limits and budgets by `cost`.")
    admin: Annotated[
        Admin | None, BeforeValidator(admin_of, json_schema_input_type=str | Admin | None)
    ] = setting(Admin(), "Address for metrics, status and `penstock ctl`, or `off`.")
    workers: Annotated[
        int | None,
        PlainValidator(parse_workers, json_schema_input_type=int | Literal["auto"]),
        PlainSerializer(lambda count: count or "auto", return_type=int | str),
    ] = setting(None, "Worker processes. `auto`: one for each core that may be used.")
    request_log: Annotated[
        RequestLog, BeforeValidator(request_log_of, json_schema_input_type=str | RequestLog)
    ] = setting(RequestLog(), "One line for each request: `off`, `stdout`, or a file's path.")
    traces: Traces | None = setting(
        None, "Spans of requests, their queues and attempts for a collector of OpenTelemetry."
    )
    metrics: Metrics | None = setting(
        None, "All metrics, pushed to a collector of OpenTelemetry; `/metrics` has them anyway."
    )
    state: Annotated[str, Field(min_length=1)] | None = setting(
        None,
        "Directory for what is to survive a restart: changes at run time, forecasts, certificates "
        "fetched. Made if missing, for this user alone. Default: `$STATE_DIRECTORY`, which systemd "
        "sets; without either, all that lives in memory.",
    )
    store: Annotated[
        Store | None, BeforeValidator(store_section, json_schema_input_type=str | Store | None)
    ] = setting(
        None,
        "The server through which several balancers know of each other's load, prefixes and "
        "changes. Without it this balancer is alone.",
    )
    shutdown_deadline: PositiveDuration = setting(
        DEFAULT_SHUTDOWN_DEADLINE_S,
        "How long running requests may take to finish when the balancer stops.",
    )
    upgrade_deadline: PositiveDuration = setting(
        DEFAULT_UPGRADE_DEADLINE_S,
        "How long streams, tunnels and requests that run may take to finish in the workers of the "
        "version before, after `penstock upgrade`.",
    )
    prompt_memory: PositiveSize = setting(
        snapshot.MOST_PROMPT_BYTES,
        "Most memory, in each worker, for bodies that pools of `kind: llm` read whole. "
        "Further bodies pass unread, or are refused with 503 where `malformed` is `refuse`.",
    )
    error_pages: ErrorPages = setting(
        (),
        "Pages in place of errors, also of requests that no route takes. Not in pools of kind "
        "`llm`, whose clients read errors in their API's form, unless the pool or the route has "
        "its own.",
    )
    via: Token = setting("penstock", "The name used in `Via` headers.")


def is_extension(key: object) -> bool:
    """Whether a top-level key is a person's own, as a place for YAML anchors."""
    return isinstance(key, str) and key.startswith(EXTENSION)
