"""What does not fit together by what it speaks is refused, and the rest finds its way."""

from pathlib import Path

import pytest

from penstock.config.compile.snapshot import configure_endpoints
from penstock.config.load.errors import ConfigError
from tests.unit.config.documents import errors_of, load

POOLS = """\
pools:
  web: {endpoints: ["http://10.0.0.1:80"]}
  db: {endpoints: ["tcp://10.0.0.5:5432"]}
  arena: {endpoints: ["udp://10.0.0.7:7101", "udp://10.0.0.8:7101"]}
"""


def test_tcp_endpoints_alone_make_a_listener_that_relays() -> None:
    made = configure_endpoints(["tcp://10.0.0.1:5432", "tcp://10.0.0.2:5432"], listen="127.0.0.1:0")
    (listener,) = made.snapshot.listeners
    (pool,) = made.snapshot.pools
    assert (listener.protocol, pool.protocol) == ("tcp", "tcp")


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "udp://127.0.0.1:0"])
def test_udp_endpoints_alone_make_a_listener_of_datagrams(listen: str) -> None:
    made = configure_endpoints(["udp://10.0.0.1:7101", "udp://10.0.0.2:7101"], listen=listen)
    (listener,) = made.snapshot.listeners
    (pool,) = made.snapshot.pools
    assert (listener.protocol, pool.protocol) == ("udp", "udp")


def test_listen_may_say_what_is_spoken(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no listener reaches it"):
        configure_endpoints(["http://10.0.0.1:80"], listen="udp://127.0.0.1:0")
    text = """\
listen: [":8080", "udp://:8080"]
routes: [{match: {hosts: a}, pool: web}, {pool: arena}]
"""
    made = load(text + POOLS, tmp_path)
    assert [each.protocol for each in made.snapshot.listeners] == ["http", "udp"]


def test_tcp_and_udp_may_share_a_port(tmp_path: Path) -> None:
    text = """\
listeners:
  web: {address: "127.0.0.1:8080", pool: web}
  arena: {address: "127.0.0.1:8080", pool: arena}
"""
    assert len(load(text + POOLS, tmp_path).snapshot.listeners) == 2
    text += '  more: {address: "127.0.0.1:8080", pool: arena}\n'
    (error,) = errors_of(text + POOLS, tmp_path)
    assert "127.0.0.1:8080 is the address of listener 'arena' already" in error


def test_udp_endpoint_at_the_port_of_a_tcp_listener_is_another(tmp_path: Path) -> None:
    text = """\
listeners:
  web: {address: "127.0.0.1:8080"}
  arena: {address: "127.0.0.1:9090", pool: arena}
pools:
  web: {endpoints: ["http://127.0.0.1:9090"]}
  arena: {endpoints: ["udp://127.0.0.1:8080"]}
"""
    assert load(text, tmp_path).snapshot.pools[1].protocol == "udp"
    text = text.replace("udp://127.0.0.1:8080", "udp://127.0.0.1:9090")
    assert "is Penstock's own listener 'arena'" in "\n".join(errors_of(text, tmp_path))


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
    pools = POOLS.replace("  arena:", "x-arena:")
    made = load(text + pools, tmp_path).snapshot
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
        ("protocol: tcp", "routes: [{pool: arena}]", "give one `protocol: udp`"),
        (
            "protocol: udp, pool: db",
            "",
            "has tcp:// endpoints, and the listener is `protocol: udp`",
        ),
        ("protocol: udp, pool: arena, merge_slashes: true", "", "`protocol: udp` reads no HTTP"),
        ("protocol: udp, pool: arena, proxy_protocol: accept", "", "say who may send PROXY"),
        (
            "protocol: tcp, pool: db, trusted_proxies: 10.0.0.0/8, "
            "proxy_protocol: {mode: require, datagrams: first}",
            "",
            "datagrams: has no effect: this is of UDP",
        ),
        ("protocol: udp, pool: arena, backlog: 5", "", "UDP has no connections"),
        ("protocol: udp, pool: arena, timeouts: {keep_alive_idle: 1s}", "", "no connections"),
        ("pool: web, limits: {sessions: 5}", "", "is of UDP"),
        ("pool: arena, limits: {connections: 5}", "", "UDP has no connections"),
        (
            "protocol: udp",
            "routes: [{match: {path: /a}, pool: arena}]",
            "datagrams of udp:// endpoints are relayed unread: there is nothing of HTTP to match",
        ),
        (
            "protocol: udp",
            "routes: [{match: {server_names: a.b}, pool: arena}]",
            "datagrams of udp listeners have none",
        ),
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
        ('mode: "0660"', "", "the address is no socket file"),
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
        (
            'endpoints: ["tcp://a:1", "http://a:1"]',
            "http:// and tcp:// endpoints cannot be in one pool: make one for each",
        ),
        ('endpoints: ["udp://a:1", "tcp://a:1"]', "tcp:// and udp:// endpoints cannot be in one"),
        ('endpoints: ["udp://a:1"], kind: llm', "a pool of kind llm speaks HTTP"),
        (
            'endpoints: ["udp://a:1"], policy: maglev, hash_key: path',
            "there are `source`, `source_port` and `bytes`",
        ),
        (
            'endpoints: ["http://a:1"], policy: maglev, hash_key: {bytes: {length: 4}}',
            "`bytes` is of udp:// endpoints",
        ),
        ('endpoints: ["udp://a:1"], health_check: tcp', "give the `port` to check, or write"),
        ('endpoints: ["udp://a:1"], health_check: udp', "write {kind: udp, send: …}"),
        ('endpoints: ["udp://a:1"], health_check: {kind: udp}', "needs `send`"),
        ('endpoints: ["udp://a:1"], proxy_protocol: v1', "version 1 has no word for UDP: write"),
        (
            'endpoints: ["tcp://a:1"], proxy_protocol: {version: v2, datagrams: each}',
            "datagrams: has no effect: this is of UDP",
        ),
        (
            'endpoints: ["udp://a:1"], health_check: {kind: udp, send: "hex:0"}',
            "come pairs of hexadecimal digits",
        ),
        ('endpoints: ["udp://a"]', "udp://a needs a port: udp://a:PORT"),
        ('endpoints: ["udp://a:1/x"]', "udp:// knows no paths"),
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
            "`send` has no meaning for a check of kind http: it is of tcp and udp",
        ),
        (
            {"db": "health_check: {path: /, expect: x}"},
            "`expect` has no meaning for a check of kind http: it is of tcp and udp",
        ),
        (
            {"main": "endpoints: ['https://a:1'], health_check: {kind: tcp, expect: x}"},
            "`send` and `expect` speak no TLS",
        ),
        (
            {"main": "health_check: grpc"},
            "pools.main.health_check: `kind: grpc` speaks HTTP/2, and there are http:// endpoints",
        ),
        (
            {"main": "retry: {on_grpc_statuses: unavailable}"},
            "pools.main.retry.on_grpc_statuses: has no effect: gRPC is spoken over HTTP/2",
        ),
        (
            {"main": "retry: {on_grpc_statuses: [14, unavailible]}"},
            "5:76: pools.main.retry.on_grpc_statuses[1]: a gRPC status such as "
            "unavailable or 14 is needed, not 'unavailible'; did you mean 'unavailable'?",
        ),
        (
            {"main": "retry: {on_grpc_statuses: 17}"},
            "a gRPC status such as unavailable or 14 is needed, not 17",
        ),
        ({"main": "retry: {on_grpc_statuses: ok}"}, "OK is no failure"),
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


def test_socket_files_are_listened_on_and_connected_to(tmp_path: Path) -> None:
    text = (
        'listeners:\n  web: {address: "unix:/tmp/lb.sock", mode: "0666", pool: web}\n'
        '  raw: {address: "unix:/tmp/raw.sock", pool: raw}\n'
        'pools:\n  web: {endpoints: ["unix:/run/a.sock", "h2c+unix:/run/b.sock", "http://c:1"]}\n'
        '  raw: {endpoints: "tcp+unix:/run/db.sock"}\n'
    )
    snapshot = load(text, tmp_path).snapshot
    web, raw = snapshot.listeners
    assert (web.host, web.port, web.mode) == ("unix:/tmp/lb.sock", 0, 0o666)
    assert (raw.protocol, raw.mode) == ("tcp", 0o660)
    http, h2c, _ = snapshot.pools[0].endpoints
    assert (http.name, http.host, http.http2) == ("unix:/run/a.sock", "unix:/run/a.sock", False)
    assert (h2c.host, h2c.http2) == ("unix:/run/b.sock", True)
    assert snapshot.pools[1].protocol == "tcp"


@pytest.mark.parametrize(
    ("document", "error"),
    [
        ("{endpoints: a:1, listen: unix:lb.sock}", "the absolute path of a file is needed"),
        ("{endpoints: a:1, listen: 'unix:///tmp/lb'}", "write unix:/tmp/lb"),
        ("{endpoints: a:1, listen: unix:/nowhere/lb}", "/nowhere is not a folder that is there"),
        ("{endpoints: https+unix:/tmp/a}", "what is spoken over a socket file is HTTP"),
        ("{endpoints: udp://a:1, listen: udp+unix:/tmp/a}", "datagrams come by UDP"),
        (f"{{endpoints: a:1, listen: unix:/tmp/{'x' * 90}}}", "paths of up to 90 bytes"),
        ("{endpoints: a:1, listeners: {a: {address: b:1, mode: 432}}}", "permissions in quotes"),
        (
            "{endpoints: a:1, listen: [unix:/tmp/lb, unix:/tmp/lb]}",
            "is the address of listener 'main' already",
        ),
        ("{endpoints: unix:/tmp/lb, listen: unix:/tmp/lb}", "is Penstock's own listener 'main'"),
    ],
)
def test_socket_files_that_cannot_be_are_refused(tmp_path: Path, document: str, error: str) -> None:
    assert error in "\n".join(errors_of(document, tmp_path))


def test_the_age_of_http2_connections_needs_endpoints_that_speak_it(tmp_path: Path) -> None:
    text = """\
pools:
  main:
    endpoints: ["URL"]
    http2: HTTP2
    timeouts: {http2_connection_age: 1m}
"""
    for url, http2 in (("https://a:1", "on"), ("https://a:1", "auto")):
        load(text.replace("URL", url).replace("HTTP2", http2), tmp_path)
    load(text.replace("URL", "h2c://a:1").replace("    http2: HTTP2\n", ""), tmp_path)
    (told,) = errors_of(text.replace("URL", "https://a:1").replace("HTTP2", "off"), tmp_path)
    assert told.startswith("5:")
    assert "timeouts.http2_connection_age: has no effect" in told


def test_proxy_headers_of_datagrams_may_be_given_in_short_and_in_full(tmp_path: Path) -> None:
    text = """\
listeners:
  one: {address: ":1", pool: a, trusted_proxies: 10.0.0.0/8, proxy_protocol: accept}
  two: {address: ":2", pool: b, trusted_proxies: 10.0.0.0/8, proxy_protocol: {mode: require,
        datagrams: first}}
pools:
  a: {endpoints: ["udp://10.0.0.1:1"], proxy_protocol: v2}
  b: {endpoints: ["udp://10.0.0.1:2"], proxy_protocol: {version: v2, datagrams: first}}
"""
    made = load(text, tmp_path).snapshot
    read = [(each.proxy_protocol, each.proxy_datagrams) for each in made.listeners]
    assert read == [("accept", "each"), ("require", "first")]
    written = [(each.proxy_protocol, each.proxy_datagrams) for each in made.pools]
    assert written == [("v2", "each"), ("v2", "first")]


@pytest.mark.parametrize(
    ("pool", "error"),
    [
        (
            'endpoints: ["tcp://a:1"], quic_connection_ids: {server_id_length: 4}',
            "this is of udp:// endpoints",
        ),
        (
            'endpoints: ["udp://a:1"], quic_connection_ids: {server_id_length: 4}',
            "give endpoints their ids",
        ),
        (
            'endpoints: [{url: "udp://a:1", quic_server_ids: "hex:00"}]',
            "quic_connection_ids: {server_id_length: 4}",
        ),
        (
            'endpoints: [{url: "udp://a:1", quic_server_ids: ["hex:00", four]}], '
            "quic_connection_ids: {server_id_length: 4}",
            "hex:00 has 1 bytes, and `server_id_length` is 4",
        ),
        (
            'endpoints: [{url: "udp://a:1", quic_server_ids: four}, '
            '{url: "udp://a:2", quic_server_ids: "hex:666f7572"}], '
            "quic_connection_ids: {server_id_length: 4}",
            "hex:666f7572 is that of a:1 already",
        ),
        (
            'endpoints: [{url: "udp://a:1", quic_server_ids: four}], '
            "quic_connection_ids: [{server_id_length: 4}, {server_id_length: 5}]",
            "a `config` is listed twice",
        ),
        ('endpoints: ["udp://a:1"], quic_connection_ids: {config: 7, server_id_length: 4}', "7"),
        ('endpoints: ["udp://a:1"], quic_connection_ids: {server_id_length: 16}', "15"),
    ],
)
def test_server_ids_fit_the_connection_ids_of_their_pool(
    tmp_path: Path, pool: str, error: str
) -> None:
    assert error in "\n".join(errors_of(f"listen: :443\npools:\n  main: {{{pool}}}\n", tmp_path))


@pytest.mark.parametrize(
    ("settings", "at", "told"),
    [
        ("timeouts: {first_token: 5s}", "first_token", "not of kind llm"),
        ("timeouts: {token: 5s}", "token", "not of kind llm"),
        (
            "kind: llm, timeouts: {first_token_header: {name: X, floor: 5s, ceiling: 1s}}",
            "floor",
            "no client could ask",
        ),
        ("kind: llm, resume: {exact: true}", "exact", "write `token_ids: true`"),
        ("resume: on", "resume", "not of kind llm"),
        ("websocket_responses: on", "websocket_responses", "not of kind llm"),
        ("admission: {queue: {preemptions: 1}}", "preemptions", "not of kind llm"),
        (
            "kind: llm, retry: {generations: false}, admission: {queue: {preemptions: 1}}",
            "preemptions",
            "asked for once more",
        ),
        ("kind: llm, retry: off, timeouts: {first_token: 5s}", "first_token", "`retry` forbids"),
        (
            "kind: llm, retry: {generations: false}, timeouts: {first_token: 5s}",
            "first_token",
            "`retry` forbids",
        ),
    ],
)
def test_deadlines_of_tokens_that_could_have_no_effect_are_refused(
    tmp_path: Path, settings: str, at: str, told: str
) -> None:
    with pytest.raises(ConfigError, match=told) as refused:
        load(f"pools: {{main: {{endpoints: a:1, {settings}}}}}", tmp_path)
    assert at in str(refused.value)
