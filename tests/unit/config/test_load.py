"""A wrong document is explained: file, line, column, what is wrong, what was likely meant."""

from pathlib import Path

import pytest

from penstock.config.load.document import load_document
from penstock.config.load.errors import ConfigError
from tests.unit.config.documents import MINIMAL, errors_of, load


def test_an_unknown_key_is_shown_where_it_stands_with_the_key_likely_meant(tmp_path: Path) -> None:
    text = MINIMAL + "pools:\n  main:\n    endpoints: a:1\n    polcy: random\n"
    assert errors_of(text, tmp_path) == [
        "6:5: pools.main.polcy: unknown key; did you mean 'policy'?"
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("endpoits: [a:1]", "did you mean 'endpoints'?"),
        ("upstreams: {}", "did you mean 'pools'?"),
        ("access_log: stdout", "did you mean 'request_log'?"),
        ("timeouts: {}", "did you mean 'listeners.NAME.timeouts'?"),
        ("pools: {a: {endpoints: a:1, connect_timeout: 1s}}", "did you mean 'timeouts.connect'?"),
        ("pools: {a: {endpoints: a:1, attempts: 1}}", "did you mean 'retry.attempts'?"),
        ("pools: {a: {endpoints: {url: a:1, wight: 1}}}", "did you mean 'weight'?"),
        ("routes: [{poool: a}]", "did you mean 'pool'?"),
        ("listeners: {a: {address: b:1, tls: {certificate: x, kye: y}}}", "did you mean 'key'?"),
        ("zzzzzz: 1", "known here: listen, endpoints, kind, policy,"),
        ("_shared: {}", "keys of your own begin with 'x-', as in 'x-shared'"),
        (".shared: {}", "keys of your own begin with 'x-', as in 'x-shared'"),
        ("X-shared: {}", "keys of your own begin with 'x-', as in 'x-shared'"),
        ("x_shared: {}", "keys of your own begin with 'x-', as in 'x-shared'"),
        ("_: {}", "keys of your own begin with 'x-', as in 'x-mine'"),
        (
            "pools: {a: {endpoints: a:1, x-note: text}}",
            "keys of your own begin with 'x-' and stand at the top of the document",
        ),
        ("routes: [{_note: text}]", "keys of your own begin with 'x-' and stand at the top"),
    ],
)
def test_what_was_likely_meant(text: str, expected: str, tmp_path: Path) -> None:
    assert any(f"unknown key; {expected}" in line for line in errors_of(text, tmp_path))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("workers: many", "1:1: workers: `auto` or a number from 1 to 1024 is needed, not 'many'"),
        ("endpoints: [{weight: 1}]", "1:13: endpoints[0]: `url` is missing"),
        ("endpoints: [[a]]", "endpoints[0]: a mapping is needed, not a list"),
        ("listeners: []", "listeners: a mapping is needed, not a list"),
        ("routes: {}", "routes: give exactly one of"),
        ("policy: round-robn", "there is no policy 'round-robn'; did you mean 'round-robin'?"),
        ("policy: {name: round-robin, x: 1}", "policy 'round-robin' has no option 'x'"),
        ("policy: {x: 1}", "a policy needs its `name`"),
        ("policy: no.such.module:Class", "no module 'no' was found beside the configuration file"),
        (
            "policy: {name: tests.unit.config.policy:Keyed, depth: 10}",
            "option 'depth' is at most 9, not 10",
        ),
        (
            "endpoints: [{url: a:1, weight: -1}]",
            "weight: must be greater than or equal to 0, not -1",
        ),
        ("endpoints: [{url: a:1, weight: .nan}]", "weight: must be a finite number"),
        ("endpoints: [{url: a:1, weight: true}]", "weight: a number is needed, not true"),
        ("endpoints: [{url: a:1, max_in_flight: 1.5}]", "a whole number is needed, not 1.5"),
        ("endpoints: [{url: a:1, backup: maybe}]", "backup: true or false is needed, not 'maybe'"),
        ("routes: [{pool: a, pools: {a: 1}}]", "give exactly one of `pool`, `pools`,"),
        (
            "routes: [{}]",
            "give exactly one of `pool`, `pools`, `redirect`, `respond`, `grpc_service`: none",
        ),
        ("routes: [{pools: {a: 0}}]", "at least one of `pools` needs a weight above 0"),
        (
            "routes: [{grpc_service: grpc.health.v1.Health, match: {path: /}}]",
            "`match` needs no `path`: calls of grpc.health.v1.Health go to /grpc.health.v1",
        ),
        (
            "routes: [{grpc_service: grpc.health.v1.Health, request_headers: {remove: A}}]",
            "`request_headers` changes nothing in calls that are answered here",
        ),
        ("routes: [{grpc_service: grpc.health.v1.Helth}]", "did you mean 'grpc.health.v1.Health'?"),
        ("routes: [{respond: 99}]", "respond: must be greater than or equal to 200, not 99"),
        ("routes: [{respond: {status: 204, body: x}}]", "a response of status 204 has no body"),
        ("routes: [{redirect: {}}]", "`redirect` leads back to the same place"),
        ("routes: [{redirect: {status: 200}}]", "redirect.status: 301, 302, 303, 307 or 308 is"),
        ("routes: [{respond: 404, mirror: a}]", "`mirror` needs a `pool` or `pools` beside it"),
        ("routes: [{pool: a, rewrite: {}}]", "`rewrite` needs a `prefix` or a `regex`"),
        (
            "routes: [{pool: a, rewrite: {regex: '(a)', replacement: '\\2'}}]",
            "does not fit `regex`: invalid group reference 2",
        ),
        (
            "routes: [{pool: a, match: {path_prefix: /a}, rewrite: {replacement: /прод}}]",
            "`replacement` '/прод' holds characters that are escaped in a path: write "
            "/%D0%BF%D1%80%D0%BE%D0%B4",
        ),
        (
            'routes: [{pool: a, rewrite: {prefix: /a, replacement: "/x\\r\\nEvil: 1"}}]',
            "`replacement` '/x\\r\\nEvil: 1' holds characters that are escaped in a path",
        ),
        (
            "routes: [{pool: a, rewrite: {regex: a, replacement: '/x\\r\\nEvil:1'}}]",
            "after a backslash stands the number of a group",
        ),
        (
            "routes: [{pool: a, rewrite: {regex: (a), replacement: '/\\1 b'}}]",
            "holds characters that are escaped",
        ),
        (
            "routes: [{pool: a, rewrite: {regex: (a), replacement: '/\\1?b'}}]",
            "holds characters that are escaped",
        ),
        (
            "routes: [{pool: a, match: {path_prefix: /a}, rewrite: {replacement: /b/../c}}]",
            "`replacement` '/b/../c' holds a dot segment",
        ),
        ("routes: [{pool: a, match: {path: /a%2Fb}}]", "servers read in several ways"),
        ("routes: [{pool: a, match: {path_prefix: //a}}]", "servers read in several ways"),
        ("routes: [{pool: a, match: {path: /../a}}]", "the path leads above the root"),
        ("routes: [{pool: a, match: {path: /a%4}}]", "two hexadecimal digits"),
        ("routes: [{pool: a, match: {hosts: a..b}}]", "is not a host name"),
        ("routes: [{pool: a, request_headers: {set: {Host: a b}}}]", "'a b' is not a host name"),
        ("pools: {a: {endpoints: b:1, host_header: a b}}", "'a b' is not a host name"),
        ("pools: {a: {endpoints: b:1, tls: {server_name: a b}}}", "'a b' is not a host name"),
        (
            "pools: {a: {endpoints: b:1, sticky: {path: '/;Domain=x', keys: 0123456789abcdef}}}",
            "a ; would end the attribute",
        ),
        ("health_check: {path: /, headers: {Host: a}}", "write it as `host`"),
        ("health_check: {path: /, headers: {Content-Length: 5}}", "cannot be edited"),
        ("health_check: {path: /, host: a b}", "'a b' is not a host name"),
        ("routes: [{pool: a, match: {path_regex: '('}}]", "'(' is not a regular expression"),
        ("routes: [{pool: a, match: {path_regex: '[[a]'}}]", "Possible nested set at position 1"),
        ("routes: [{pool: a, match: {path: /, path_prefix: /}}]", "give one of `path`,"),
        ("routes: [{pool: a, match: {hosts: 'a:80'}}]", "a:80: a host is matched without its port"),
        ("routes: [{pool: a, match: {hosts: 'a.*'}}]", "a wildcard stands for the first label"),
        ("routes: [{pool: a, match: {headers: {a b: c}}}]", "'a b' holds characters that HTTP"),
        ('routes: [{pool: a, request_headers: {set: {Host: "a\\r\\nb"}}}]', "cannot be the value"),
        ("routes: [{pool: a, request_headers: {remove: Connection}}]", "cannot be edited"),
        (
            "health_check: health",
            "`off`, `tcp`, `grpc`, a path or a mapping is needed, not 'health'",
        ),
        ("health_check: {kind: tcp, path: /}", "`path` has no meaning for a check of kind tcp"),
        ("health_check: {kind: grpc, path: /}", "`path` has no meaning for a check of kind grpc"),
        (
            "health_check: {path: /, service: a}",
            "`service` has no meaning for a check of kind http",
        ),
        (
            "health_check: {kind: htp}",
            "'http', 'grpc', 'tcp' or 'udp' is needed, not 'htp'; did",
        ),
        ("health_check: {expect_statuses: 399-200}", "did you mean 200-399?"),
        ("health_check: {path: /, expect_statuses: []}", "no endpoint could ever be up"),
        ("health_check: {fast_interval: 10s}", "`fast_interval` is longer than `interval`"),
        ("health_check: {interval: 0s}", "health_check.interval: must be more than 0"),
        ("listen: 127.0.0.1", "an address needs a port, such as 127.0.0.1:8080"),
        ("listen: 127.0.0.1:99999", "a port is a number from 0 to 65535, not '99999'"),
        ("listen: ::1:80", "write an IPv6 address in brackets: [::1]"),
        (
            "listeners: {a: {address: a:1, tls: {certificates: []}}}",
            "needs at least one certificate",
        ),
        ("listeners: {a: {address: a:1, trusted_proxies: 10.0.0.1/8}}", "did you mean 10.0.0.0/8?"),
        ("listeners: {a: {address: a:1, limits: {body_bytes: 1 XB}}}", "a size such as 32KiB"),
        ("listeners: {a: {address: a:1, limits: {header_count: 0}}}", "greater than or equal to 1"),
        ("listeners: {a b: {address: a:1}}", "a name is letters, digits"),
        ("pools: {a: {endpoints: a:1, sticky: {}}}", "give `keys` or `keys_file`"),
        (
            "pools: {a: {endpoints: a:1, sticky: {keys: x, same_site: None}}}",
            "browsers refuse `same_site: None` without `secure: true`",
        ),
        (
            "pools: {a: {endpoints: a:1, hash_key: user}}",
            "`source`, `source_port`, `path` or",
        ),
        ("pools: {a: {endpoints: a:1, hash_key: {header: a, cookie: b}}}", "give exactly one of"),
        ("pools: {a: {endpoints: a:1, outlier: {max_ejection: 1s}}}", "`max_ejection` is shorter"),
        (
            "pools: {a: {endpoints: a:1, outlier: {consecutive_local_failures: 3}}}",
            "`consecutive_local_failures` needs `split_local_failures: true`",
        ),
        (
            "pools: {a: {kind: llm, endpoints: a:1, models: {aliases: {c: m}, fallbacks: {n: c}}}}",
            "the model 'n' falls back to an alias, 'c'",
        ),
        ("request_log: stdot", "or a file (a name with a '.' or a '/', as in requests.jsonl)"),
        (
            "listeners: {a: {address: ':1', tls: {acme: {names: '*.a.example'}}}}",
            "certificates for wildcards are given to who controls the DNS (DNS-01)",
        ),
        (
            "listeners: {a: {address: ':1', tls: {acme: {names: 192.0.2.1}}}}",
            "192.0.2.1 is an address; certificates are fetched for names",
        ),
        (
            "listeners: {a: {address: ':1', tls: {acme: {names: a, directory: 'http://a'}}}}",
            "the https:// URL of an ACME directory is needed",
        ),
        ("shutdown_deadline: 5", "a duration needs its unit: 5s or 5ms"),
        ("via: a b", "'a b' holds characters that HTTP does not allow here"),
    ],
)
def test_what_is_wrong_with_a_value(text: str, expected: str, tmp_path: Path) -> None:
    assert any(expected in line for line in errors_of(text, tmp_path)), errors_of(text, tmp_path)


@pytest.mark.parametrize(
    "url",
    ["", "ftp://a:1", "http://", "http://a:b", "http://a:0", "http://u:p@a", "http://a?q", "a", 1],
)
def test_what_is_no_url_of_an_endpoint(url: str | int, tmp_path: Path) -> None:
    (line,) = errors_of(f"endpoints: [{url!r}]", tmp_path)
    assert line.startswith("1:13: endpoints[0]")


def test_all_that_is_wrong_is_said_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = "listn: a:1\nworkers: x\nendpoints:\n  - ftp://a\n  - {weight: 1}\n  - ${UNSET}\n"
    places = [line.split(" ")[0] for line in errors_of(text, tmp_path)]
    assert places == ["1:1:", "2:1:", "4:5:", "5:5:", "6:5:"]


def test_a_key_given_twice_is_refused_with_the_line_of_the_first(tmp_path: Path) -> None:
    assert errors_of(MINIMAL + "listen: a:1\n", tmp_path) == [
        "3:1: listen: given twice; the first is in line 1"
    ]


def test_words_that_older_yaml_takes_for_switches_and_numbers_are_text(tmp_path: Path) -> None:
    text = "endpoints: a:1\nroutes: [{pool: main, match: {headers: {X-A: off, X-B: 12:30}}}]\n"
    headers = load(text, tmp_path).snapshot.routes[0].match.headers
    assert [header.value for header in headers] == ["off", "12:30"]


def test_anchors_and_merge_keys_share_what_pools_have_in_common(tmp_path: Path) -> None:
    pools = load(
        "x-common: &common\n  slow_start: 5s\n  retry: off\n"
        "pools:\n"
        "  a: {<<: *common, endpoints: a:1}\n"
        "  b: {<<: [{retry: {attempts: 2}}, *common], slow_start: 6s, endpoints: b:1}\n"
        "routes: [{pools: {a: 1, b: 1}}]\n",
        tmp_path,
    ).snapshot.pools
    assert [(pool.slow_start.window_s, pool.retry.attempts) for pool in pools] == [
        (5.0, 1),
        (6.0, 2),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("endpoints: [a:1\nlisten: b", "not YAML:"),
        ("endpoints: *nowhere", "undefined alias|stands before or inside its anchor"),
        ("&a endpoints: [*b]", "stands before or inside its anchor"),
        ("endpoints: &a [*a]", "stands before or inside its anchor"),
        ("a: 1\n---\nb: 2", "a configuration is a single document"),
        ("[" * 100, "nested deeper than 64 levels"),
        ("? [a]\n: b", "a key is plain text"),
        (
            "workers: !!python/object:os.system x",
            "the tag tag:yaml.org,2002:python/object:os.system",
        ),
        ("<<: 1", "only mappings can be merged"),
        ("- a", "a configuration is a mapping of keys such as `listen`"),
        ("listen: \x07", "not YAML:"),
        ("", "is empty; it needs at least `endpoints`"),
    ],
)
def test_what_is_no_document_is_refused(text: str, expected: str, tmp_path: Path) -> None:
    file = tmp_path / "penstock.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_document(file)
    assert any(part in str(caught.value) for part in expected.split("|")), str(caught.value)
    assert str(caught.value).startswith(str(file))


def test_aliases_that_expand_without_end_are_refused(tmp_path: Path) -> None:
    levels = ["x-0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for level in range(1, 9):
        many = ", ".join([f"*a{level - 1}"] * 10)
        levels.append(f"x-{level}: &a{level} [{many}]")
    file = tmp_path / "penstock.yaml"
    file.write_text("\n".join(levels))
    with pytest.raises(ConfigError, match="holds more than 1000000 values"):
        load_document(file)


def test_text_that_is_not_utf_8_is_refused_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "penstock.yaml"
    file.write_bytes(b"listen: a:1\nvia: \xff\n")
    with pytest.raises(ConfigError, match=r":2:1: not UTF-8 text"):
        load_document(file)


def test_a_file_far_too_large_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "penstock.yaml"
    with file.open("wb") as sparse:
        sparse.truncate(17 * 1024 * 1024)
    with pytest.raises(ConfigError, match="is over 16 MiB"):
        load_document(file)


def test_no_error_shows_a_secret(tmp_path: Path) -> None:
    text = (
        "admin: {address: 0.0.0.0:1, token: hunter2}\n"
        "pools: {a: {endpoints: a:1, sticky: {keys: [hunter2, [hunter2]], keys_file: x}}}\n"
    )
    assert "hunter2" not in "".join(errors_of(text, tmp_path))
    text = "admin: {token: hunter2}\npools: {a: {endpoints: a:1, sticky: {keys: [hunter2]}}}\n"
    assert "hunter2" not in "".join(errors_of(text, tmp_path))
