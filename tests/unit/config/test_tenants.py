"""Tenants in the document and in their directory, and which routes ask for keys."""

from hashlib import sha256
from pathlib import Path

import pytest

from penstock.config.compile.tenants import read_directory
from penstock.config.load.errors import ConfigError
from penstock.core import snapshot
from tests.unit.config.documents import MINIMAL, errors_of, load

KEY = "k" * 32
DIGEST = sha256(KEY.encode()).hexdigest()
ACME = f"tenants: {{acme: {{keys: {{ci: {{key: {KEY}}}}}}}}}\n"


def test_of_a_key_only_its_digest_is_known(tmp_path: Path) -> None:
    configured = load(MINIMAL + ACME, tmp_path)
    assert configured.snapshot.tenants == (snapshot.Tenant("acme", (snapshot.Key("ci", DIGEST),)),)
    assert KEY.encode() not in configured.snapshot.encode()


def test_where_there_are_tenants_routes_demand_a_key_unless_they_say_otherwise(
    tmp_path: Path,
) -> None:
    routes = """\
routes:
  - {match: {path: /health}, pool: main, tenants: "off"}
  - {match: {path_prefix: /open}, pool: main, tenants: optional}
  - {match: {path: /gone}, respond: 410}
  - {pool: main}
pools: {main: {endpoints: http://127.0.0.1:9001}}
"""
    found = load(routes + ACME, tmp_path).snapshot.routes
    assert [route.tenants for route in found] == ["off", "optional", "off", "required"]
    without = load(MINIMAL, tmp_path).snapshot.routes
    assert [route.tenants for route in without] == ["off"]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("tenants: {a: {keys: {k: {key: short}}}}", "has 5 characters; at least 32 are needed"),
        ("tenants: {a: {keys: {k: {}}}}", "give one of `sha256` and `key`"),
        ("tenants: {a: {keys: {k: {sha256: abc}}}}", "a SHA-256 in 64 hexadecimal digits"),
        (f"tenants: {{a: {{keys: {{k: {{key: {KEY}, expires: soon}}}}}}}}", "a date or a time"),
        (
            f"tenants: {{a: {{keys: {{k: {{key: {KEY}}}, l: {{sha256: {DIGEST}}}}}}}}}",
            "is the same key as a/k",
        ),
        ("tenants: {a: {aliases: {x: x}}}", "stands for itself"),
    ],
)
def test_what_is_wrong_with_tenants_is_told(text: str, error: str, tmp_path: Path) -> None:
    assert any(error in line for line in errors_of(MINIMAL + text, tmp_path))


@pytest.mark.parametrize(
    ("route", "error"),
    [
        ("{pool: main, tenants: required}", "nobody has a key"),
        ("{respond: 204, tenants: required}", "nobody has a key"),
        ("{pool: main, forward_auth: {pool: other}}", "no pool is called 'other'"),
        ("{respond: 204, forward_auth: {pool: main}}", "`forward_auth` needs a `pool`"),
        ("{pool: main, forward_auth: {pool: main, tenant_header: X-T}}", "names tenants, and"),
        ("{pool: main, forward_auth: {pool: main, user_header: X-U}}", "has no effect without"),
        ("{pool: main, limits: [{requests: 1, per: day}, {requests: 2, per: day}]}", "count the"),
        ("{pool: main, limits: {requests: 1}}", "needs `per`"),
        ("{pool: main, limits: {requests: 1, tokens: 2, per: day}}", "give exactly one of"),
        ("{pool: main, limits: {requests: 1, per: day, by: color}}", "or `header:NAME` is needed"),
        ("{respond: 204, limits: {requests: 1, per: day}}", "needs a `pool` or `pools`"),
    ],
)
def test_routes_that_cannot_ask_for_keys_are_refused(
    route: str, error: str, tmp_path: Path
) -> None:
    text = f"routes: {route}\npools: {{main: {{endpoints: http://127.0.0.1:9001}}}}"
    assert any(error in line for line in errors_of(text, tmp_path))


def test_a_directory_has_tenants_and_files_of_keys_alone(tmp_path: Path) -> None:
    (tmp_path / "acme.yaml").write_text("models: big")
    (tmp_path / "acme.keys.yaml").write_text(f"ci: {{sha256: {DIGEST}}}")
    (tmp_path / "lone.keys.yaml").write_text(f"ci: {{sha256: {'ab' * 32}}}")
    (tmp_path / ".hidden.yaml").write_text("nonsense: [")
    acme, lone = read_directory(tmp_path)
    assert acme == snapshot.Tenant("acme", (snapshot.Key("ci", DIGEST),), models=("big",))
    assert lone == snapshot.Tenant("lone", (snapshot.Key("ci", "ab" * 32),))


def test_what_is_wrong_in_a_directory_is_told_with_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "acme.keys.yaml").write_text("ci:\n  sha257: a")
    with pytest.raises(ConfigError, match=r"acme.keys.yaml:2:3: ci.sha257"):
        read_directory(tmp_path)
