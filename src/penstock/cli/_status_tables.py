"""The tables of ``penstock ctl status``."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from penstock._visible import all_visible
from penstock.cli._durations import spell_duration
from penstock.core.snapshot.address import shown_url, socket_path

_STYLES = {
    "up": "green",
    "starting": "yellow",
    "draining": "cyan",
    "maintenance": "cyan",
    "weightless": "cyan",
}
_BAD = "bold red"
_PIPED_WIDTH = 160
_LEGEND = (
    "req/s and times are of the window named above, requests, 5xx and failed since the start. "
    "TTFB: mean time to first byte; TTFT: to first token."
)


def print_status(document: dict[str, Any], console: Console | None = None) -> None:
    """Show the status document to a person."""
    out = console if console is not None else Console()
    if not out.is_terminal:
        out.width = max(out.width, _PIPED_WIDTH)  # for grep, which wants whole lines
    now = time.time()
    document = all_visible(document)
    out.print(_headline(document, now))
    for pool in document["pools"]:
        out.print(_pool_headline(pool, document["window_s"]), _pool_table(pool), sep="\n")
        for each in pool["discovery"]:
            out.print(_discovery(each, now))
        if pool["excluded"]:
            kept = ", ".join(pool["excluded"])
            out.print(Text(f"  kept away by operators (ctl endpoint remove): {kept}"))
        for endpoint in pool["endpoints"]:
            if endpoint["state"] != "up":
                out.print(_why(endpoint, now))
            for note in endpoint_notes(endpoint):
                out.print(Text(f"  {endpoint['name']} {note}", style="yellow"))
        out.print()
    for each in document.get("additions", ()):
        out.print(_addition(each))
    out.print(_LEGEND, style="dim")
    out.print(_worker_table(document, now))
    last = document["reloads"]["last"]
    if last is not None:
        result = "ok" if last["ok"] else "FAILED"
        said = f"last reload {_ago(last['at'], now)} ago, {result}: {last['message']}"
        out.print(Text(said, style="" if last["ok"] else _BAD))


def _addition(addition: dict[str, Any]) -> Text:
    """A pool or a route that was added at run time."""
    kept = "saved" if addition["saved"] else "until a restart"
    line = f"{addition['kind']} {addition['name']} (api, {kept})"
    if addition["problem"]:
        return Text(f"{line} is left out: {addition['problem']}", style=_BAD)
    return Text(line)


def endpoint_notes(endpoint: dict[str, Any]) -> list[str]:
    """What else a person should know of it; nothing where all is well."""
    notes = _agent_notes(endpoint)
    engine = endpoint["engine"]
    if engine is not None and engine["silent"]:
        notes.append(f"does not report its load (using own counts): {engine['problem']}")
    if endpoint["models_problem"]:
        notes.append(f"does not list its models: {endpoint['models_problem']}")
    if endpoint["circuits_open"]:
        notes.append(f"has its circuit breaker open in {endpoint['circuits_open']} workers")
    irregular = {name: n for name, n in endpoint["irregular"].items() if n}
    if irregular:
        told = ", ".join(f"{name.replace('_', ' ')}: {n}" for name, n in irregular.items())
        notes.append(f"frames responses irregularly, which are passed on in order ({told})")
    distrust = endpoint["prefixes"]["hit_distrust"]
    if distrust:
        notes.append(
            f"has fewer cache hits than predicted: {distrust:.0%} of predicted hits are ignored"
        )
    return notes


def _agent_notes(endpoint: dict[str, Any]) -> list[str]:
    """What its agent says, and whether it answers."""
    agent = endpoint["agent"]
    if agent is None:
        return []
    notes = [f"its agent says: {agent['said']}"] if agent["said"] else []
    return [*notes, f"its agent: {agent['problem']}"] if agent["problem"] else notes


def _headline(document: dict[str, Any], now: float) -> Text:
    ready = "ready" if document["ready"] else "not ready: " + ", ".join(document["unready_reasons"])
    line = Text(f"penstock {document['version']} ({document['form']}), ")
    line.append(ready, style="green" if document["ready"] else _BAD)
    addresses = ", ".join(_listener(each) for each in document["listeners"])
    totals = document["totals"]
    sessions = f"{totals['sessions']} UDP sessions, " if totals["sessions"] else ""
    line.append(
        f", up {_ago(document['started_at'], now)}, generation {document['generation']}\n"
        f"{addresses}: {totals['connections']} clients connected, {sessions}"
        f"{totals['requests']} requests"
    )
    for listener in document["listeners"]:
        if problem := listener.get("certificate_problem"):
            line.append(f"\n{listener['name']}: {problem}", style=_BAD)
    store = document.get("store")
    if store is not None:
        heard = f"connected, {len(store['balancers'])} other balancers"
        how = heard if store["connected"] else f"gone: {store['problem']}"
        line.append(f"\nstore {store['where']}: {how}", style="" if store["connected"] else _BAD)
    return line


def _listener(shown: dict[str, Any]) -> str:
    address, scheme = shown["address"], shown["scheme"]
    return shown_url(scheme, address, 0) if socket_path(address) else f"{scheme}://{address}"


def _pool_headline(pool: dict[str, Any], window_s: float) -> Text:
    latency = pool["latency"]["total"]
    line = Text(f"\npool {pool['name']}", style="bold")
    if pool["maintenance_since"]:
        line.append("  in maintenance: clients get 503", style=_BAD)
    line.append(
        f"  {pool['policy']}, {pool['retries']} retries, {pool['no_endpoint']} without endpoint"
        f"{_admission(pool)}\nlast {window_s:.0f} s: {pool['requests_per_s']:g} requests/s, "
        f"p50 {spell_duration(latency['p50'])}, p99 {spell_duration(latency['p99'])}",
        style="not bold",
    )
    if pool["scale"] is not None:
        line.append_text(_scale(pool["scale"]))
    if pool["serving"] is not None:
        line.append(_serving(pool["serving"]), style="not bold")
    return line


def _scale(scale: dict[str, Any]) -> Text:
    """How many endpoints there are to be, why, and what is in the way."""
    advised = scale["mode"] == "advise"
    line = Text(style="not bold")
    moving = [f"{scale[state]} {state}" for state in ("starting", "draining") if scale[state]]
    line.append(
        f"\n{'advised' if advised else 'wanted'}: {scale['desired']} endpoints, there are "
        f"{scale['actual']}{' (' + ', '.join(moving) + ')' if moving else ''}: {scale['reason']}"
    )
    if advised:
        line.append(
            f"\nas advised: {scale['advised_endpoint_s'] / 3600:.1f} endpoint-hours in place of "
            f"{scale['endpoint_s'] / 3600:.1f}, {spell_duration(scale['advised_broken_s'])} with "
            f"too few in place of {spell_duration(scale['broken_s'])}"
        )
    if scale["problem"]:
        line.append(f"\n{scale['problem']}", style=_BAD)
    return line


def _serving(serving: dict[str, Any]) -> str:
    """What users of a language model feel, and how much of their prompts was cached."""
    first, token = serving["first_token"], serving["token"]
    return (
        f"\nfirst token p50 {spell_duration(first['p50'])}, p99 {spell_duration(first['p99'])}; "
        f"per token p50 {spell_duration(token['p50'])}, p99 {spell_duration(token['p99'])}\n"
        f"tokens/s: prompts {serving['prompt_tokens_per_s']:,.0f}, "
        f"answers {serving['output_tokens_per_s']:,.0f}; "
        f"prompt tokens found cached: {_share(serving['cached_share'])}"
    )


def _admission(pool: dict[str, Any]) -> str:
    """What admission does, where it does anything."""
    admission = pool["admission"]
    refused = sum(admission["refused"].values())
    said = ""
    if admission["limit"]:
        said += f", limit {admission['limit']:.0f}"
    if admission["queued"] or admission["waiting"]:
        said += f", {admission['waiting']} waiting"
    return said + (f", {refused} turned away" if refused else "")


def _pool_table(pool: dict[str, Any]) -> Table:
    """One row for each endpoint; fits 80 columns where names are addresses."""
    serving = pool["serving"] is not None
    weighted = any(each["effective_weight"] != 1.0 for each in pool["endpoints"])
    table = _plain_table("endpoint", "state")
    titles = [*(["weight"] if weighted else []), "in\nflight", "req/s", "requests", "5xx", "failed"]
    for title in (*titles, *(("TTFT", "cached") if serving else ("TTFB", "total"))):
        table.add_column(title, justify="right", no_wrap=True)
    for each in pool["endpoints"]:
        latency = each["latency"]
        table.add_row(
            Text(_named(each)),
            _state(each),
            *([f"{each['effective_weight']:g}"] if weighted else []),
            str(each["in_flight"]),
            f"{each['requests_per_s']:g}",
            str(each["requests"]),
            str(each["responses"]["5xx"]),
            str(each["failures"]["blamed"]),
            spell_duration(latency["first_byte_mean"]),
            _share(each["prefixes"]["cached_share"])
            if serving
            else spell_duration(latency["total_mean"]),
        )
    return table


def _named(endpoint: dict[str, Any]) -> str:
    """With the address in use where its name has several."""
    used = endpoint["connected_to"] if len(endpoint["addresses"]) > 1 else None
    at = f" at {used}" if used else ""
    backup = " (backup)" if endpoint["backup"] else ""
    source = f" ({endpoint['source']})" if endpoint["source"] in ("api", "scale") else ""
    return f"{endpoint['name']}{at}{backup}{source}"


def _share(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"


def _discovery(provider: dict[str, Any], now: float) -> Text:
    """A line about one that finds endpoints."""
    style = {"found": "green", "waiting": "yellow"}.get(provider["state"], _BAD)
    line = Text(f"  {provider['shown']} ")
    line.append(provider["state"], style=style)
    line.append(f", {provider['endpoints']} endpoints")
    if provider["answered_at"]:
        line.append(f", answered {_ago(provider['answered_at'], now)} ago")
    if provider["reason"]:
        line.append(f": {provider['reason']}")
    return line


def _why(endpoint: dict[str, Any], now: float) -> Text:
    line = Text(f"  {endpoint['name']} ")
    line.append_text(_state(endpoint))
    line.append(f" for {_ago(endpoint['since'], now)}: {endpoint['reason']}")
    return line


def _state(endpoint: dict[str, Any]) -> Text:
    return Text(endpoint["state"], style=_STYLES.get(endpoint["state"], _BAD))


def _plain_table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for name in columns:
        table.add_column(name, overflow="fold")
    return table


def _worker_table(document: dict[str, Any], now: float) -> Table:
    table = _plain_table()
    for name in ("worker", "pid", "state", "for", "generation", "clients", "requests", "restarts"):
        table.add_column(name, justify="left" if name == "state" else "right")
    for worker in document["workers"]:
        behind = worker["generation"] < document["generation"]
        table.add_row(
            str(worker["index"]),
            str(worker["pid"] or "–"),
            Text(worker["state"], style="green" if worker["state"] == "ready" else _BAD),
            _ago(worker["since"], now),
            Text(str(worker["generation"]), style="yellow" if behind else ""),
            str(worker["connections"]),
            str(worker["requests"]),
            str(worker["restarts"]),
        )
    return table


def _ago(since: float, now: float) -> str:
    seconds = max(0, int(now - since))
    if seconds < 120:
        return f"{seconds}s"
    if seconds < 2 * 3600:
        return f"{seconds // 60}m"
    if seconds < 2 * 86400:
        return f"{seconds // 3600}h"
    return f"{seconds // 86400}d"
