"""`upstream` and `proxy_pass`: pools."""

from typing import Any, Final

from penstock.config.convert.nginx.context import Chain, Conversion
from penstock.config.convert.nginx.reader import Directive
from penstock.config.convert.nginx.words import seconds
from penstock.config.convert.outcome import duration

_STATUSES: Final = {f"http_{status}": int(status) for status in ("500", "502", "503", "504", "429")}
_HASHED: Final = {
    "$remote_addr": "source",
    "$binary_remote_addr": "source",
    "$uri": "path",
    "$request_uri": "path",
}


def pool_for(
    conversion: Conversion,
    upstreams: dict[str, Directive],
    chain: Chain,
    authority: str,
    scheme: str,
) -> str:
    """The pool that stands for what is proxied to."""
    pool: dict[str, Any] = {}
    upstream = upstreams.get(authority)
    prefix = {
        "http": "http",
        "https": "https",
        "grpc": "h2c",
        "grpcs": "https",
        "tcp": "tcp",
        "udp": "udp",
    }[scheme]
    if upstream is None:
        pool["endpoints"] = [_url(prefix, authority)]
    else:
        conversion.take(upstream)
        _fill(conversion, upstream, pool, prefix)
    if scheme in ("tcp", "udp"):
        return conversion.pool(authority if upstream else authority.replace(":", "-"), pool)
    if scheme == "grpcs":
        pool["http2"] = "on"
    pool["host_header"] = _host(conversion, chain, authority, upstream is not None)
    _timeouts(conversion, chain, pool)
    _retries(conversion, chain, pool)
    if prefix == "https":
        _tls(conversion, chain, pool)
    name = authority if upstream is not None else authority.replace("unix:", "").replace(":", "-")
    return conversion.pool(name, pool)


def address_in(proxied: Directive) -> tuple[str, str, str]:
    """Scheme, host and port (or socket file), and path of a `proxy_pass`; "" without one."""
    scheme, found, rest = proxied.args[0].partition("://")
    if not found:
        return "grpc" if proxied.name == "grpc_pass" else "http", rest or scheme, ""
    if rest.startswith("unix:"):
        file, colon, path = rest.removeprefix("unix:").partition(":")
        return scheme, f"unix:{file}", f"/{path.removeprefix('/')}" if colon else ""
    authority, slash, path = rest.partition("/")
    return scheme, authority, f"{slash}{path}"


def _fill(conversion: Conversion, upstream: Directive, pool: dict[str, Any], scheme: str) -> None:
    pool["policy"] = "round-robin"
    endpoints: list[Any] = []
    failures: set[tuple[int, float]] = set()
    for each in upstream.block:
        if each.name == "server":
            endpoints.append(_endpoint(conversion, each, scheme, failures, pool))
        elif each.name == "least_conn":
            conversion.take(each)
            pool["policy"] = "least-request"
        elif each.name == "ip_hash":
            conversion.take(each)
            pool["policy"] = "source-hash"
        elif each.name == "hash":
            _hash(conversion, each, pool)
        elif each.name == "random":
            conversion.take(each)
            pool["policy"] = "power-of-two" if each.args[:1] == ("two",) else "random"
        elif each.name == "keepalive":
            conversion.take(each)
            pool["connections"] = {**pool.get("connections", {}), "max_idle": int(each.args[0])}
        elif each.name == "keepalive_timeout":
            conversion.take(each)
            told = {"idle_timeout": duration(seconds(each.args[0]))}
            pool["connections"] = {**pool.get("connections", {}), **told}
        elif each.name == "keepalive_requests":
            conversion.take(each)
            told_most = {"max_requests": int(each.args[0])}
            pool["connections"] = {**pool.get("connections", {}), **told_most}
    pool["endpoints"] = endpoints
    if failures == {(0, 10.0)}:
        pool["outlier"] = "off"
    elif len(failures) == 1 and failures != {(1, 10.0)} and next(iter(failures))[0]:
        [(count, wait_s)] = failures
        pool["outlier"] = {"consecutive_failures": count, "base_ejection": duration(wait_s)}


def _endpoint(
    conversion: Conversion,
    server: Directive,
    scheme: str,
    failures: set[tuple[int, float]],
    pool: dict[str, Any],
) -> Any:
    conversion.take(server)
    address = server.args[0]
    made: dict[str, Any] = {"url": _url(scheme, address)}
    count, wait_s = 1, 10.0
    for argument in server.args[1:]:
        key, _, value = argument.partition("=")
        if key == "weight":
            made["weight"] = int(value)
        elif key == "max_conns":
            made["max_in_flight"] = int(value)
        elif key == "backup":
            made["backup"] = True
        elif key == "down":
            made["weight"] = 0
        elif key == "max_fails":
            count = int(value)
        elif key == "fail_timeout":
            wait_s = seconds(value)
        elif key == "slow_start":
            pool["slow_start"] = duration(seconds(value))
        elif key != "resolve":  # names are followed by their TTL in any case
            conversion.leave(server, f"`{argument}` has no counterpart")
    failures.add((count, wait_s))
    return made["url"] if len(made) == 1 else made


def _url(scheme: str, address: str) -> str:
    if address.startswith("unix:"):
        path = address.removeprefix("unix:").rstrip(":")
        return f"unix:{path}" if scheme == "http" else f"{scheme}+unix:{path}"
    if scheme in ("tcp", "udp"):
        return f"{scheme}://{address}"
    return f"{scheme}://{address}"


def _hash(conversion: Conversion, each: Directive, pool: dict[str, Any]) -> None:
    key = each.args[0]
    hashed: Any = _HASHED.get(key)
    for prefix, ours in (("$http_", "header"), ("$cookie_", "cookie"), ("$arg_", "query")):
        if key.startswith(prefix):
            name = key.removeprefix(prefix)
            hashed = {ours: name.replace("_", "-") if ours == "header" else name}
    if hashed is None:
        conversion.leave(each, f"{key} cannot be hashed; see `hash_key`")
        return
    conversion.take(each)
    pool["policy"] = "consistent-hash"
    pool["hash_key"] = hashed


def _host(conversion: Conversion, chain: Chain, authority: str, is_upstream: bool) -> str:
    for each in conversion.nearest(chain, "proxy_set_header", "grpc_set_header"):
        if each.args[0].lower() == "host":
            if each.args[1] in ("$host", "$http_host", "$host:$server_port"):
                return "pass"
            if not each.args[1].startswith("$"):
                return each.args[1]
    return authority if is_upstream else "endpoint"


def _timeouts(conversion: Conversion, chain: Chain, pool: dict[str, Any]) -> None:
    timeouts: dict[str, str] = {}
    connect = conversion.value(chain, "proxy_connect_timeout")
    if connect is not None:
        timeouts["connect"] = duration(seconds(connect))
    for name in ("proxy_read_timeout", "grpc_read_timeout"):
        read = conversion.value(chain, name)
        if read is not None:
            timeouts["first_byte"] = timeouts["stream_idle"] = duration(seconds(read))
    if timeouts:
        pool["timeouts"] = timeouts


def _retries(conversion: Conversion, chain: Chain, pool: dict[str, Any]) -> None:
    found = conversion.nearest(chain, "proxy_next_upstream")
    tries = conversion.value(chain, "proxy_next_upstream_tries")
    if not found and tries is None:
        return
    args = found[-1].args if found else ("error", "timeout")
    if "off" in args:
        pool["retry"] = "off"
        return
    retry: dict[str, Any] = {}
    statuses = [_STATUSES[each] for each in args if each in _STATUSES]
    retry["on_statuses"] = statuses
    retry["on_timeout"] = "timeout" in args
    if "non_idempotent" in args:
        retry["non_idempotent"] = True
    if tries is not None and int(tries):
        retry["attempts"] = int(tries)
    pool["retry"] = retry
    for each in found:
        rest = {*args} - {*_STATUSES, "error", "timeout", "non_idempotent"}
        if rest:
            conversion.leave(each, f"not for {', '.join(sorted(rest))}")


def _tls(conversion: Conversion, chain: Chain, pool: dict[str, Any]) -> None:
    tls: dict[str, Any] = {}
    for theirs, ours in (
        ("proxy_ssl_trusted_certificate", "ca_file"),
        ("proxy_ssl_name", "server_name"),
        ("proxy_ssl_certificate", "certificate"),
        ("proxy_ssl_certificate_key", "key"),
    ):
        value = conversion.value(chain, theirs)
        if value is not None and not value.startswith("$"):
            tls[ours] = value
    if conversion.value(chain, "proxy_ssl_verify") == "off":
        tls["verify"] = False
    if tls:
        pool["tls"] = tls
