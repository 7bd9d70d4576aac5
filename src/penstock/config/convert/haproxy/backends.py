"""`backend`, and the servers of `listen`: pools."""

import secrets
from collections.abc import Sequence
from typing import Any, Final

from penstock.config.convert.haproxy.reader import Line, Section, seconds
from penstock.config.convert.haproxy.told import Told
from penstock.config.convert.outcome import duration

_POLICIES: Final = {
    "roundrobin": "round-robin",
    "static-rr": "round-robin",
    "leastconn": "least-request",
    "first": "first-available",
    "source": "source-hash",
    "random": "power-of-two",
}
# Words of a `server` line that take no argument and need nothing here.
_FLAGS: Final = frozenset(
    ("check-ssl", "no-check", "no-ssl", "no-backup", "enabled", "no-tls-tickets", "resolve-prefer")
)
# Those that take one.
_ARGUMENTS: Final = frozenset(
    (
        *("resolvers", "resolve-prefer", "init-addr", "alpn", "ciphers", "ciphersuites", "id"),
        *("ssl-min-ver", "ssl-max-ver", "pool-max-conn", "pool-purge-delay", "check-alpn"),
        *(
            "check-sni",
            "downinter",
            "fastinter",
            "maxqueue",
            "minconn",
            "on-error",
            "on-marked-down",
        ),
        *("on-marked-up", "error-limit", "observe", "track", "npn", "hash-key", "max-reuse"),
    )
)


def pool_of(told: Told, section: Section, mode: str) -> dict[str, Any]:
    """Its pool."""
    pool: dict[str, Any] = {}
    servers = told.lines(section, "server", "server-template")
    defaults = [
        word for each in told.all_lines(section, "default-server") for word in each.args[1:]
    ]
    _balance(told, section, pool)
    checks: dict[str, Any] = {}
    pool["endpoints"] = []
    for server in servers:
        if server.keyword == "server-template":
            _template(told, server, pool, mode)
        else:
            pool["endpoints"].append(_endpoint(told, server, defaults, pool, checks, mode))
    if not pool["endpoints"]:
        del pool["endpoints"]
    _checks(told, section, pool, checks, mode)
    _timeouts(told, section, pool)
    _retries(told, section, pool, mode)
    _cookie(told, section, pool, mode)
    _compression(told, section, pool)
    return pool


def _balance(told: Told, section: Section, pool: dict[str, Any]) -> None:
    line = told.nearest(section, "balance")
    pool["policy"] = "round-robin"
    if line is None:
        return
    word = line.args[1].partition("(")[0]
    if word in _POLICIES:
        pool["policy"] = _POLICIES[word]
    elif word == "uri":
        pool["policy"], pool["hash_key"] = "consistent-hash", "path"
    elif word == "hdr":
        name = line.args[1].partition("(")[2].rstrip(")")
        pool["policy"], pool["hash_key"] = "consistent-hash", {"header": name}
    elif word == "url_param":
        pool["policy"], pool["hash_key"] = "consistent-hash", {"query": line.args[2]}
    else:
        told.leave(line, "round-robin is used; see docs/policies.md")
    for each in told.lines(section, "stick"):
        if each.begins("stick", "on", "src") and pool["policy"] == "round-robin":
            pool["policy"] = "source-hash"
            for table in told.lines(section, "stick-table"):
                told.take(table)
        else:
            told.leave(each, "clients are kept by `source-hash` or `sticky`")


def _endpoint(
    told: Told,
    server: Line,
    defaults: Sequence[str],
    pool: dict[str, Any],
    checks: dict[str, Any],
    mode: str,
) -> Any:
    made: dict[str, Any] = {}
    words = [*defaults, *server.args[3:]]
    tls = "ssl" in words
    made["url"] = _url(server.args[2], mode, tls, "h2" in _after(words, "proto"))
    if server.args[1] != server.args[2]:
        made["name"] = server.args[1]
    i = 0
    while i < len(words):
        word = words[i]
        argument = words[i + 1] if i + 1 < len(words) else ""
        used = _one_word(word, made, pool, checks)
        if not used:
            used = _with_argument(told, server, word, argument, made, pool, checks)
        if not used:
            told.leave(server, f"`{word}` has no counterpart")
            used = 1
        i += used
    if checks.get("on") is not True and "check" in words:
        checks["on"] = True
    return made["url"] if len(made) == 1 else made


def _after(words: Sequence[str], word: str) -> str:
    return next((words[i + 1] for i in range(len(words) - 1) if words[i] == word), "")


def _one_word(word: str, made: dict[str, Any], pool: dict[str, Any], checks: dict[str, Any]) -> int:
    if word == "check":
        checks["on"] = True
    elif word == "backup":
        made["backup"] = True
    elif word == "disabled":
        made["weight"] = 0
    elif word in ("send-proxy", "send-proxy-v2", "send-proxy-v2-ssl", "send-proxy-v2-ssl-cn"):
        pool["proxy_protocol"] = "v1" if word == "send-proxy" else "v2"
    elif word == "ssl":
        pool.setdefault("host_header", "pass")
    elif word not in _FLAGS:
        return 0
    return 1


def _with_argument(
    told: Told,
    server: Line,
    word: str,
    argument: str,
    made: dict[str, Any],
    pool: dict[str, Any],
    checks: dict[str, Any],
) -> int:
    if word == "weight":
        made["weight"] = int(argument)
    elif word == "maxconn":
        made["max_in_flight"] = int(argument)
    elif word in ("inter", "fastinter"):
        checks["interval" if word == "inter" else "fast_interval"] = duration(seconds(argument))
    elif word in ("rise", "fall"):
        checks[word] = int(argument)
    elif word == "port":
        checks["port"] = int(argument)
    elif word == "slowstart":
        pool["slow_start"] = duration(seconds(argument))
    elif word == "verify":
        if argument == "none":
            pool.setdefault("tls", {})["verify"] = False
    elif word == "ca-file":
        if argument != "@system-ca":
            pool.setdefault("tls", {})["ca_file"] = argument
    elif word == "crt":
        pool.setdefault("tls", {}).update({"certificate": argument, "key": argument})
    elif word in ("sni", "verifyhost"):
        name = argument.removeprefix("str(").rstrip(")")
        if "(" not in name:
            pool.setdefault("tls", {})["server_name"] = name
        else:
            told.leave(server, f"`sni {argument}`: the endpoint's host is asked for")
    elif word == "cookie":
        pass  # which cookie it is, `sticky` decides
    elif word == "agent-port":
        pool["agent_check"] = {**_mapping(pool.get("agent_check")), "port": int(argument)}
    elif word == "agent-inter":
        told_interval = {"interval": duration(seconds(argument))}
        pool["agent_check"] = {**_mapping(pool.get("agent_check")), **told_interval}
    elif word == "proto":
        if argument == "h2" and made["url"].startswith("https://"):
            pool["http2"] = "on"
    elif word not in _ARGUMENTS:
        return 1 if word == "agent-check" else 0
    return 2


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, dict) else {}


def _url(address: str, mode: str, tls: bool, http2: bool) -> str:
    if address.startswith(("unix@", "/")):
        path = address.removeprefix("unix@")
        return f"unix:{path}" if mode == "http" else f"tcp+unix:{path}"
    address = address.removeprefix("ipv4@").removeprefix("ipv6@")
    if mode == "tcp":
        return f"tcp://{address}"
    scheme = "https" if tls else "h2c" if http2 else "http"
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal():
        port = "443" if tls else "80"
        return f"{scheme}://{address}:{port}"
    return f"{scheme}://{f'[{host}]' if ':' in host and '[' not in host else host}:{port}"


def _template(told: Told, server: Line, pool: dict[str, Any], mode: str) -> None:
    host, _, port = server.args[3].rpartition(":")
    if mode != "http" or not host or "_" in host[:1]:
        told.leave(server, "`discover: {dns: …}` of a pool finds servers by a name")
        return
    scheme = "https" if "ssl" in server.args else "http"
    found = {"dns": host, "port": int(port), "max_endpoints": int(server.args[2])}
    pool["discover"] = [{**found, "scheme": scheme}] if scheme == "https" else [found]


def _checks(
    told: Told, section: Section, pool: dict[str, Any], checks: dict[str, Any], mode: str
) -> None:
    on = checks.pop("on", False)
    line = told.nearest_option(section, "httpchk")
    made: dict[str, Any] = {"kind": "tcp"}
    if line is not None and mode == "http":
        made = {"kind": "http", "path": "/", "method": "OPTIONS"}
        words = line.args[2:]
        if len(words) == 1:
            made["path"] = words[0]
        elif words:
            made["method"], made["path"] = words[0], words[1]
        for each in told.all_lines(section, "http-check"):
            _http_check(told, each, made)
    elif line is not None:
        told.leave(line, "endpoints of a TCP pool are connected to")
    timeout = told.timeout(section, "check")
    if timeout is not None:
        made["timeout"] = duration(timeout)
    if on:
        made.update(checks)
        pool["health_check"] = made
        if made["kind"] == "http" and made["method"] == "GET":
            del made["method"]


def _http_check(told: Told, line: Line, made: dict[str, Any]) -> None:
    words = list(line.args[1:])
    if words[:1] == ["expect"] and words[1:2] == ["status"]:
        made["expect_statuses"] = words[2]
    elif words[:1] == ["expect"] and words[1:2] == ["string"]:
        made["expect_body"] = words[2]
    elif words[:1] == ["send"]:
        made["method"] = line.after("meth") or "GET"
        made["path"] = line.after("uri") or made["path"]
        for i in range(len(words) - 2):
            if words[i] == "hdr" and words[i + 1].lower() == "host":
                made["host"] = words[i + 2]
            elif words[i] == "hdr":
                made.setdefault("headers", {})[words[i + 1]] = words[i + 2]
    else:
        told.leave(line, "part of a check that has no counterpart")


def _timeouts(told: Told, section: Section, pool: dict[str, Any]) -> None:
    made: dict[str, str] = {}
    for theirs, ours in (("connect", "connect"), ("tunnel", "tunnel_idle")):
        value = told.timeout(section, theirs)
        if value:
            made[ours] = duration(value)
    server = told.timeout(section, "server")
    if server:
        made["first_byte"] = made["stream_idle"] = duration(server)
    if made:
        pool["timeouts"] = made
    queue = told.timeout(section, "queue")
    if queue and any(
        isinstance(each, dict) and "max_in_flight" in each for each in pool.get("endpoints", ())
    ):
        pool["admission"] = {"queue": {"timeout": duration(queue)}}


def _retries(told: Told, section: Section, pool: dict[str, Any], mode: str) -> None:
    line = told.nearest(section, "retries")
    if line is not None and mode == "http":
        count = int(line.args[1])
        pool["retry"] = {"attempts": count + 1} if count else "off"
    line = told.nearest(section, "retry-on")
    if line is not None and mode == "http":
        words = line.args[1:]
        made = _mapping(pool.get("retry"))
        made["on_statuses"] = [int(each) for each in words if each.isdecimal()]
        made["on_reset"] = any(each in words for each in ("empty-response", "all-retryable-errors"))
        made["on_timeout"] = "response-timeout" in words
        pool["retry"] = made


def _cookie(told: Told, section: Section, pool: dict[str, Any], mode: str) -> None:
    line = told.nearest(section, "cookie")
    if line is None or mode != "http":
        return
    if "insert" not in line.args:
        told.leave(line, "cookies of servers are not changed; `sticky` sets one of its own")
        return
    # Ours are signed; the key is made here, and belongs in no repository.
    sticky: dict[str, Any] = {"cookie": line.args[1], "keys": secrets.token_hex(16)}
    if "secure" in line.args:
        sticky["secure"] = True
    sticky["http_only"] = "httponly" in line.args
    pool["sticky"] = sticky


def _compression(told: Told, section: Section, pool: dict[str, Any]) -> None:
    made: dict[str, Any] = {}
    for each in told.all_lines(section, "compression"):
        if each.begins("compression", "algo"):
            made["codings"] = ["gzip"]
        elif each.begins("compression", "type"):
            made["types"] = list(each.args[2:])
    if "codings" in made:
        pool["compression"] = made
