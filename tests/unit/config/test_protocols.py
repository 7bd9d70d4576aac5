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
