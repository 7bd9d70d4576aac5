"""What does not fit together by what it speaks is refused, and the rest finds its way."""

from pathlib import Path

import pytest

from penstock.config.compile.snapshot import configure_endpoints
from tests.unit.config.documents import errors_of, load

POOLS = """\
pools:
  web: {endpoints: ["http://10.0.0.1:80"]}
  db: {endpoints: ["tcp://10.0.0.5:5432"]}
"""


def test_tcp_endpoints_alone_make_a_listener_that_relays() -> None:
    made = configure_endpoints(["tcp://10.0.0.1:5432", "tcp://10.0.0.2:5432"], listen="127.0.0.1:0")
    (listener,) = made.snapshot.listeners
    (pool,) = made.snapshot.pools
    assert (listener.protocol, pool.protocol) == ("tcp", "tcp")


def test_listener_speaks_what_its_pool_does(tmp_path: Path) -> None:
    text = """\
listeners:
  web: {address: ":8080", pool: web}
  line: {address: ":5432", pool: db}
"""
    made = load(text + POOLS, tmp_path).snapshot
    assert [each.protocol for each in made.listeners] == ["http", "tcp"]
    assert [(each.match.listeners, each.pools[0].pool) for each in made.routes] == [
        (("web",), "web"),
        (("line",), "db"),
    ]


def test_pool_that_no_listener_has_for_itself_gets_the_rest(tmp_path: Path) -> None:
    text = """\
listeners:
  web: {address: ":8080"}
  line: {address: ":5432", pool: db}
"""
    made = load(text + POOLS, tmp_path).snapshot
    assert [(each.name, each.match.listeners) for each in made.routes] == [
        ("line", ("line",)),
        ("all", ("web",)),
    ]


def test_routes_are_of_the_listeners_that_speak_what_their_pools_do(tmp_path: Path) -> None:
    text = """\
listeners:
  web: {address: ":8080"}
  line: {address: ":5432", protocol: tcp}
  sni: {address: ":5433", protocol: tls-passthrough}
routes:
  - {match: {path_prefix: /a}, pool: web}
  - {match: {server_names: db.example}, pool: db}
  - {match: {path: /b}, redirect: {path: /a}}
"""
    made = load(text + POOLS, tmp_path).snapshot
    assert [each.match.listeners for each in made.routes] == [("web",), ("line", "sni"), ("web",)]


@pytest.mark.parametrize(
    ("listener", "rest", "error"),
    [
        (
            "protocol: tcp, pool: web",
            "",
            "has http:// endpoints, and the listener is `protocol: tcp`",
        ),
        (
            "protocol: http, pool: db",
            "",
            "has tcp:// endpoints, and the listener is `protocol: http`",
        ),
        ("pool: dv", "", "no pool is called 'dv'"),
        ("protocol: tcp, pool: db, merge_slashes: true", "", "`protocol: tcp` reads no HTTP"),
        (
            "protocol: tls-passthrough, pool: db, tls: {certificate: a, key: b}",
            "",
            "`tls-passthrough` never decrypts",
        ),
        ("protocol: tcp", "routes: [{match: {hosts: a.b}, pool: db}]", "nothing of HTTP to match"),
        ("protocol: tcp", "routes: [{match: {path: /a}, pool: db}]", "nothing of HTTP to match"),
        ("protocol: tcp", "routes: [{pool: web}]", "no listener reaches it"),
        ("protocol: http", "routes: [{pool: db}]", "no listener reaches it"),
        (
            "protocol: tcp",
            "routes: [{match: {listeners: line}, pool: web}]",
            "the listener 'line' is `protocol: tcp`, and the pool 'web' has http:// endpoints",
        ),
        (
            "protocol: tcp",
            "routes: [{match: {server_names: a.b}, pool: db}]",
            "no name is asked for without TLS",
        ),
        (
            "protocol: http",
            "routes: [{match: {server_names: a.b}, pool: web}]",
            "requests are matched by `hosts`",
        ),
        ("protocol: tcp", "routes: [{pools: {db: 1, web: 1}}]", "speaks another protocol than"),
        ("protocol: tcp", "routes: [{pool: db, mirror: db}]", "are relayed unread"),
    ],
)
def test_what_does_not_fit_together_is_refused(
    tmp_path: Path, listener: str, rest: str, error: str
) -> None:
    text = f'listeners:\n  line: {{address: ":5432", {listener}}}\n{rest}\n'
    assert error in "\n".join(errors_of(text + POOLS, tmp_path))


@pytest.mark.parametrize(
    ("pool", "error"),
    [
        ('endpoints: ["tcp://a:1", "http://a:1"]', "cannot be in one pool"),
        ('endpoints: ["tcp://a:1"], kind: llm', "a pool of kind llm speaks HTTP"),
        ('endpoints: ["tcp://a:1"], host_header: x', "has no effect"),
        ('endpoints: ["tcp://a:1"], request_headers: {set: {A: b}}', "has no effect"),
        (
            'endpoints: ["tcp://a:1"], policy: maglev, hash_key: path',
            "`source`, the client's address, is all there is",
        ),
        ('endpoints: [{url: "tcp://a:1", headers: {A: b}}]', "has no effect"),
        ('endpoints: ["tcp://a"]', "needs a port"),
        ('endpoints: ["tcp://a:1/x"]', "tcp:// knows no paths"),
    ],
)
def test_pool_that_is_relayed_has_no_use_for_http(tmp_path: Path, pool: str, error: str) -> None:
    text = f"listen: :5432\npools:\n  db: {{{pool}}}\n"
    assert error in "\n".join(errors_of(text, tmp_path))


PROXIED = """\
listeners:
  web: {{address: ":8080", {listener}}}
  line: {{address: ":5432", pool: db, {line}}}
pools:
  main: {{endpoints: ["http://10.0.0.1:80"], {main}}}
  db: {{endpoints: ["tcp://10.0.0.5:5432"], {db}}}
routes: [{{match: {{listeners: web}}, pool: main}}]
"""


@pytest.mark.parametrize(
    ("parts", "error"),
    [
        (
            {"listener": "proxy_protocol: require"},
            "listeners.web.proxy_protocol: say who may send PROXY headers",
        ),
        ({"line": "proxy_protocol: accept"}, "listeners.line.proxy_protocol: say who may send"),
        (
            {"line": "trusted_proxies: 10.0.0.0/8"},
            "listeners.line.trusted_proxies: has no effect: `protocol: tcp` reads no HTTP; "
            "`proxy_protocol: require` reads PROXY headers",
        ),
        (
            {
                "listener": "proxy_protocol: require, trusted_proxies: 10.0.0.0/8, "
                'allow: [192.0.2.0/24, "2001:db8::/32"]'
            },
            "listeners.web.allow: holds none of `trusted_proxies`, so nobody can connect",
        ),
        ({"listener": "proxy_protocol: on"}, "'off', 'accept' or 'require'"),
        ({"main": "proxy_protocol: v3"}, "'off', 'v1' or 'v2'"),
        (
            {"main": "proxy_protocol: v2, kind: llm"},
            "pools.main.proxy_protocol: engines of language models read no PROXY headers",
        ),
        (
            {"main": "proxy_protocol: v2, engine: vllm"},
            "pools.main.proxy_protocol: engines of language models read no PROXY headers",
        ),
        (
            {"main": "proxy_protocol: v1, connections: {max_idle: 5}"},
            "pools.main.connections.max_idle: has no effect",
        ),
        (
            {"db": "health_check: {kind: http, send: x}"},
            "`send` has a meaning for a check of kind tcp only",
        ),
        (
            {"db": "health_check: {path: /, expect: x}"},
            "`expect` has a meaning for a check of kind tcp only",
        ),
        (
            {"main": "endpoints: ['https://a:1'], health_check: {kind: tcp, expect: x}"},
            "`send` and `expect` speak no TLS",
        ),
        ({"db": "health_check: {send: 'a\\q'}"}, "`\\q` is no escape"),
        ({"db": "health_check: {send: 'hex:0'}"}, "after `hex:` come pairs of hexadecimal digits"),
    ],
)
def test_proxy_headers_and_checks_that_cannot_work_are_refused(
    tmp_path: Path, parts: dict[str, str], error: str
) -> None:
    text = PROXIED.format(**{"listener": "", "line": "", "main": "", "db": "", **parts})
    if "endpoints" in parts.get("main", ""):
        text = text.replace('endpoints: ["http://10.0.0.1:80"], ', "")
    assert error in "\n".join(errors_of(text, tmp_path))


def test_proxy_headers_are_configured_where_they_work(tmp_path: Path) -> None:
    trusting = (
        "proxy_protocol: require, trusted_proxies: 10.0.0.0/8, allow: [10.1.0.0/16, 192.0.2.0/24]"
    )
    parts = {
        "listener": trusting,
        "line": trusting,
        "main": "proxy_protocol: v2",
        "db": "proxy_protocol: v1, health_check: {send: '*1\\r\\n\\x00\\\\', expect: 'hex:2b 4F'}",
    }
    made = load(PROXIED.format(**parts), tmp_path).snapshot
    assert [each.proxy_protocol for each in made.listeners] == ["require", "require"]
    assert [each.proxy_protocol for each in made.pools] == ["v2", "v1"]
    check = made.pools[1].health_check
    assert check is not None
    assert (check.kind, check.send, check.expect) == ("tcp", b"*1\r\n\0\\", b"+O")
