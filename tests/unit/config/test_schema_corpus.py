"""Documents that load fit the JSON Schema: short forms, and all that the documentation shows."""

import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from penstock.config.describe.schema import schema
from penstock.config.load.document import load_document
from penstock.config.load.errors import ConfigError
from penstock.config.load.yaml_tree import read_tree

ROOT = Path(__file__).parents[3]
VALIDATOR = Draft202012Validator(schema())

LISTENER = """
tls: {certificate: a, key: b}
tls: {certificate: a, key: b, server_names: x.example, client_ca_file: c}
tls: {certificate: a, key: b, client_ca_file: c, client_certificate_header: off}
tls: {certificate: a, key: b, client_ca_file: c, minimum_version: 1.3}
tls: {certificates: {certificate: a, key: b}}
tls: {certificates: [{certificate: a, key: b}, {certificate: c, key: d}]}
tls: {acme: {names: a.example}}
http2: off
http2: on
proxy_protocol: accept
proxy_protocol: {mode: require}
allow: 10.0.0.0/8
mode: "0660"
limits: {body_bytes: off}
limits: {body_rate: off, connections: off, amplification: off}
timeouts: {client_headers: off}
timeouts: {client_headers: 0, keep_alive_idle: 1m}
merge_slashes: on
merge_slashes: no
"""
POOL = """
retry: off
retry: {attempts: 3, on_statuses: 503}
retry: {on_grpc_statuses: [14, unavailable]}
hedge: on
hedge: {after: p95}
resume: on
health_check: off
health_check: grpc
health_check: /health
health_check: {kind: tcp, send: x, expect: y}
health_check: {jitter: off}
outlier: off
slow_start: 30s
admission: {queue: 100}
admission: {queue: off}
compression: on
compression: {types: text/*, private: yes}
hash_key: source
hash_key: {header: X}
circuit_breaker: on
engine: vllm
proxy_protocol: v2
tls: {verify: off}
http2: off
forecast: on
discover: {file: x.yaml}
discover: {http: "http://a/x"}
timeouts: {first_byte: 0, connect: 1s}
usage: hidden
websocket_responses: on
"""
ROUTE = """
match: {path_prefix: /x, methods: get, headers: {A: b}}
match: {path: /a, hosts: [a.example, b.example]}
mirror: q
mirror: {pool: q, share: 0.1}
compression: off
upgrades: websocket
upgrades: []
priority: off
"""
TOP = """
admin: off
admin: ":9000"
admin: {address: ":9000"}
workers: auto
request_log: off
request_log: stdout
request_log: {to: ./x.log}
store: "redis://a"
metrics: {collector: "http://a:1"}
policy: round-robin
policy: {name: random}
"""


def forms(lines: str, around: str) -> list[str]:
    return [around.replace("HERE", line) for line in lines.split("\n") if line]


CORPUS = [
    *forms(LISTENER, "listeners: {a: {address: ':1', HERE}}\nendpoints: a:1\n"),
    *forms(POOL, "pools: {p: {endpoints: 'a:1', HERE}}\nroutes: [{pool: p}]\n"),
    *forms(
        ROUTE, "pools: {p: {endpoints: 'a:1'}, q: {endpoints: 'b:1'}}\nroutes: [{HERE, pool: p}]\n"
    ),
    *forms(TOP, "endpoints: a:1\nHERE\n"),
]


def shown() -> list[str]:
    """All documents of the documentation, and parts of such, one to a block."""
    pages = [*sorted((ROOT / "docs").glob("**/*.md")), ROOT / "README.md"]
    blocks = []
    for page in pages:
        blocks += re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
    return blocks


def misfits(text: str) -> list[str]:
    return [error.message for error in VALIDATOR.iter_errors(read_tree(text, {}).value)]


@pytest.mark.parametrize("text", CORPUS)
def test_each_form_that_loads_fits_the_schema(text: str, tmp_path: Path) -> None:
    file = tmp_path / "penstock.yaml"
    file.write_text(text)
    load_document(file)
    assert misfits(text) == []


def test_what_the_documentation_shows_fits_as_far_as_it_loads(tmp_path: Path) -> None:
    loaded = 0
    for text in shown():
        file = tmp_path / "penstock.yaml"
        file.write_text(text)
        try:
            load_document(file)
        except ConfigError:
            continue  # a part, or one with several ways to write the same
        loaded += 1
        assert misfits(text) == [], text
    assert loaded > 40


@pytest.mark.parametrize(
    "tls",
    [
        "{certificate: a}",
        "{certificate: a, key: b, certificates: []}",
        "{certificate: a, key: b, acme: {names: a.example}}",
        "{certificate: a, key: b, no_such: 1}",
    ],
)
def test_the_short_form_of_tls_is_as_strict_as_the_loader(tls: str, tmp_path: Path) -> None:
    text = f"listeners: {{a: {{address: ':1', tls: {tls}}}}}\nendpoints: a:1\n"
    assert misfits(text) != []
    file = tmp_path / "penstock.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError):
        load_document(file)
