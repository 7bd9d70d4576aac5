"""What `penstock top` draws: the head, a view, and the foot, as high as the terminal."""

from __future__ import annotations

from typing import Final

from rich.console import Group, RenderableType
from rich.layout import Layout
from rich.table import Table
from rich.text import Text

from penstock.cli._decision_tables import explanation
from penstock.cli._durations import spell_duration
from penstock.cli._top_state import VIEWS, Object, TopState
from penstock.cli._top_tables import BAD, CHOSEN, clock, number, share, table_of, window
from penstock.cli._top_tenancy import limits_table, tenants_table

_STYLES: Final = {
    "up": "green",
    "starting": "yellow",
    "draining": "cyan",
    "maintenance": "cyan",
    "weightless": "cyan",
}
_MARKS: Final = {"up": "●", "starting": "◐", "draining": "▽", "maintenance": "◆", "weightless": "○"}
_BARS: Final = "▁▂▃▄▅▆▇█"
_AROUND: Final = 6  # lines that are not the view's: a head of three, a gap, a foot of two
KEYS: Final = (
    "1-7 Tab view · ↑↓ PgUp PgDn Home End move · Enter details · / filter · s sort r reverse · "
    "d F10 drain · u F9 undrain · w weight · F4 as configured · F5-F8 -10% -1% +1% +10% · "
    "z undo · R ask for decisions again · q quit"
)


def screen(state: TopState, height: int, foot: Text) -> RenderableType:
    """All of it. ``height``: lines of the terminal."""
    if not state.balancer:
        return Group(Text("connecting …"), foot)
    rows = max(3, height - _AROUND)
    layout = Layout()
    layout.split_column(
        Layout(Group(*_head(state), _view(state, rows))), Layout(foot, size=_AROUND - 4)
    )
    return layout


def once(state: TopState) -> Group:
    """For scripts: everything that the table of endpoints has, without keys."""
    return Group(*_head(state)[:2], _endpoints(state, len(state.endpoints) + 1, chosen=-1))


def _head(state: TopState) -> list[Text]:
    about = state.balancer
    ready = not about["unready"]
    first = Text(f"penstock {about['version']} ({about['form']})  ")
    first.append("ready" if ready else "not ready: " + ", ".join(about["unready"]))
    first.stylize("green" if ready else BAD, len(first) - len("ready") if ready else 0)
    first.append(f"  up {spell_duration(state.at - about['started_at'])}")
    first.append("" if state.may_change else "  read only", style="yellow")
    pools = state.pools.values()
    errors = sum(pool["errors"] for pool in pools)
    waiting = sum(pool["waiting"] for pool in pools)
    available = sum(each["available"] for each in state.endpoints.values())
    second = Text(
        f"{about['rate']:g} requests/s  {about['in_flight']} in flight  {waiting} waiting  "
        f"{about['connections'] + about['sessions']} clients  "
        f"{available}/{len(state.endpoints)} endpoints available  "
    )
    second.append(f"{errors:g} errors/s", style=BAD if errors else "dim")
    return [first, second, _tabs(state)]


def _tabs(state: TopState) -> Text:
    line = Text()
    for place, view in enumerate(VIEWS, start=1):
        line.append(f" {place} {view} ", style="bold reverse" if view == state.view else "dim")
    order = f"  sorted by {state.sort}{' reversed' if state.reverse else ''}"
    line.append(order if state.view == "endpoints" else "", style="dim")
    line.append(f"  filter: {state.filter}" if state.filter else "", style="yellow")
    return line


def _view(state: TopState, rows: int) -> RenderableType:
    if state.detail and (endpoint := state.endpoint()) is not None:
        return _detail(state, endpoint)
    if state.view == "decisions" and state.detail and state.decisions:
        return Group(*explanation(state.decisions[state.chosen], 120))
    views = {
        "endpoints": _endpoints,
        "pools": _pools,
        "decisions": _decisions,
        "events": _events,
        "workers": _workers,
        "tenants": tenants_table,
        "limits": limits_table,
    }
    return views[state.view](state, rows, state.chosen)


def _endpoints(state: TopState, rows: int, chosen: int) -> Table:
    shown = state.shown_endpoints()
    serving = any(each["llm"] for each in shown)
    numbers = ("in flight", "queue", "rate/s", "", "errors/s", "p50", "p99")
    models = ("prefill/s", "TTFT", "KV", "hits", "predicted") if serving else ()
    table = table_of(("state", "endpoint"), (*numbers, *models, "weight"))
    for index in window(chosen, len(shown), rows - 1):
        each = shown[index]
        cells: list[RenderableType] = [
            Text(_marked(each["state"]), style=_STYLES.get(each["state"], BAD)),
            Text(f"{each['pool']}/{each['name']}"),
            str(each["in_flight"]),
            number(each["queue"]),
            f"{each['rate']:g}",
            line_of(list(state.rates.get(each["key"], ()))),
            Text(f"{each['errors']:g}", style=BAD if each["errors"] else "dim"),
            spell_duration(each["p50"]),
            spell_duration(each["p99"]),
        ]
        if serving:
            first_token = each["first_byte"] if each["llm"] else None
            cells += [number(each["tokens"]), spell_duration(first_token)]
            cells += [share(each[name]) for name in ("kv", "hit_found", "hit_predicted")]
        table.add_row(
            *cells, f"{each['effective_weight']:g}", style=CHOSEN if index == chosen else ""
        )
    return table


def _pools(state: TopState, rows: int, chosen: int) -> Table:
    table = table_of(
        ("pool", "policy"),
        (
            *("available", "rate/s", "errors/s", "in flight", "waiting", "limit", "p50", "p99"),
            *("TTFT p50", "tokens/s", "cached", "wanted"),
        ),
    )
    pools = list(state.pools.values())
    for index in window(chosen, len(pools), rows - 1):
        each = pools[index]
        scale = each["scale"]
        away = " (maintenance)" if each["maintenance_since"] else ""
        table.add_row(
            Text(each["name"] + away, style=BAD if away else ""),
            Text(each["policy"]),
            f"{each['available']}/{each['endpoints']}",
            f"{each['rate']:g}",
            Text(f"{each['errors']:g}", style=BAD if each["errors"] else "dim"),
            str(each["in_flight"]),
            str(each["waiting"]),
            f"{each['limit']:g}" if each["limit"] else "–",
            spell_duration(each["p50"]),
            spell_duration(each["p99"]),
            spell_duration(each["ttft_p50"]),
            number(each["output_tokens"]),
            share(each["cached"]),
            "–" if scale is None else f"{scale['desired']} ({scale['actual']} there)",
            style=CHOSEN if index == chosen else "",
        )
    return table


def _decisions(state: TopState, rows: int, chosen: int) -> RenderableType:
    if not state.decisions:
        return Text("no decisions; pools record a share of them with `decisions: {sample: 0.01}`")
    table = table_of(("time", "request", "pool", "picked", "by", "end"), ("of", "first byte"))
    for index in window(chosen, len(state.decisions), rows - 1):
        each = state.decisions[index]
        true = each.get("came_true") or {}
        table.add_row(
            clock(each["time"]),
            Text(each["id"]),
            each["pool"],
            each["picked"],
            each["policy"] if each["by"] == "policy" else each["by"],
            true.get("end", "running"),
            str(len(each["candidates"]) + each.get("left_out", 0)),
            spell_duration(true.get("ttft_s")),
            style=CHOSEN if index == chosen else "",
        )
    return table


def _events(state: TopState, rows: int, chosen: int) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis")
    shown = state.shown_events()
    for index in window(chosen, len(shown), rows):
        each = shown[index]
        style = {"warning": "yellow", "error": BAD}.get(each["level"], "")
        chosen_style = CHOSEN if index == chosen else ""
        table.add_row(clock(each["at"]), Text(each["message"], style=style), style=chosen_style)
    return table


def _workers(state: TopState, rows: int, chosen: int) -> Table:
    numbers = ("pid", "rate/s", "requests", "clients", "sessions", "generation", "restarts")
    table = table_of(("worker", "state"), numbers)
    workers = list(state.workers.values())
    for index in window(chosen, len(workers), rows - 1):
        each = workers[index]
        names = ("pid", "rate", "requests", "connections", "sessions", "generation", "restarts")
        table.add_row(
            str(each["index"]),
            Text(each["state"], style="green" if each["state"] == "ready" else BAD),
            *(number(each.get(name)) for name in names),
            style=CHOSEN if index == chosen else "",
        )
    return table


def _detail(state: TopState, endpoint: Object) -> Group:
    lines = [
        Text(f"{endpoint['pool']}/{endpoint['name']}", style="bold"),
        Text(
            f"{_marked(endpoint['state'])} for {spell_duration(state.at - endpoint['since'])}: "
            f"{endpoint['reason']}",
            style=_STYLES.get(endpoint["state"], BAD),
        ),
        *(Text(note, style="yellow") for note in endpoint["notes"]),
    ]
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    for name, value in endpoint.items():
        if name not in _SAID_ALREADY and value not in (None, "", []):
            shown = ", ".join(value) if isinstance(value, list) else str(value)
            table.add_row(Text(name.replace("_", " "), style="dim"), Text(shown))
    return Group(*lines, table)


_SAID_ALREADY: Final = {"key", "pool", "name", "state", "reason", "since", "notes"}


def line_of(values: list[float]) -> str:
    """A line of bars, the highest for the most."""
    most = max(values, default=0.0)
    if most <= 0.0:
        return ""
    return "".join(_BARS[round(value / most * (len(_BARS) - 1))] for value in values[-12:])


def _marked(state: str) -> str:
    return f"{_MARKS.get(state, '✕')} {state}"
