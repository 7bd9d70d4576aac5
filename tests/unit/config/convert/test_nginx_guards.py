"""Services that are asked and limits of nginx hold here, or are told."""

from pathlib import Path

import pytest

from penstock.core.snapshot import Limit
from tests.unit.config.convert.converted import Converted, nginx


def test_a_service_is_asked_as_auth_request_does(tmp_path: Path) -> None:
    made = nginx(
        tmp_path,
        """
        server {
            listen 80;
            location / {
                auth_request /auth;
                auth_request_set $who $upstream_http_x_user;
                proxy_set_header X-User $who;
                proxy_pass http://10.0.0.1:1;
            }
            location /open/ { auth_request off; proxy_pass http://10.0.0.1:2; }
            location = /auth {
                internal;
                proxy_pass http://10.0.0.9:9/validate;
                proxy_pass_request_body off;
                proxy_set_header Content-Length "";
                proxy_set_header X-Original-URI $request_uri;
                proxy_set_header X-Fixed one;
            }
        }
        """,
    )
    asks = {each.get("pool"): each.get("forward_auth") for each in made.document["routes"]}
    assert asks["10.0.0.1-1"] == {
        "pool": "10.0.0.9-9",
        "path": "/validate",
        "pass_headers": ["x-user"],
    }
    assert asks["10.0.0.1-2"] is None
    assert made.taken("/auth") == "404"
    assert made.access == []
    assert "X-Forwarded-Uri" in made.told("proxy_set_header X-Original-URI").why
    assert made.told("proxy_set_header X-Fixed").kind == "part"


@pytest.mark.parametrize(
    "rules",
    [
        "auth_request /none;",
        "auth_request $where;",
        "auth_request /auth; satisfy any; allow 10.0.0.0/8; deny all;",
        "auth_basic x; auth_basic_user_file users; auth_request /auth;",
        "auth_request /computed;",
        "auth_request /files;",
    ],
)
def test_a_service_that_cannot_be_asked_so_is_never_left_out_in_silence(
    tmp_path: Path, rules: str
) -> None:
    (tmp_path / "users").write_text("ada:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n")
    made = nginx(
        tmp_path,
        f"server {{ listen 80; location / {{ {rules} proxy_pass http://10.0.0.1:1; }}"
        " location = /auth { proxy_pass http://10.0.0.9:9; }"
        " location = /computed { internal; proxy_pass http://10.0.0.9:9/a?b=c; }"
        " location = /files { root /srv; } }",
    )
    assert any("auth_request" in each for each in made.access)


def limits_of(made: Converted, path: str = "/") -> list[Limit]:
    """Those of the route that takes it, and of its pool."""
    snapshot = made.configured.snapshot
    pool = next(each for each in snapshot.pools if each.name == made.taken(path))
    routes = [each for each in snapshot.routes if each.pools and each.pools[0].pool == pool.name]
    return [*(limit for each in routes for limit in each.limits), *pool.limits]


ZONES = """
limit_req_zone $binary_remote_addr zone=one:10m rate=10r/s;
limit_req_zone $binary_remote_addr zone=slow:10m rate=30r/m;
limit_req_zone $request_uri zone=odd:10m rate=1r/s;
limit_conn_zone $binary_remote_addr zone=addr:10m;
limit_conn_zone $server_name zone=all:10m;
"""


@pytest.mark.parametrize(
    ("rules", "counts", "amount", "per", "at_once"),
    [
        ("limit_req zone=one;", "requests", 10, "second", 1),
        ("limit_req zone=one burst=9 nodelay;", "requests", 10, "second", 0),
        ("limit_req zone=one burst=20 nodelay;", "requests", 600, "minute", 21),
        ("limit_req zone=slow burst=5;", "requests", 30, "minute", 6),
        ("limit_req zone=slow burst=99 nodelay;", "requests", 1800, "hour", 100),
        ("limit_conn addr 10;", "concurrent", 10, "", 0),
    ],
)
def test_rates_and_connections_by_address_are_limits(
    tmp_path: Path, rules: str, counts: str, amount: int, per: str, at_once: int
) -> None:
    made = nginx(
        tmp_path,
        f"http {{ {ZONES} server {{ listen 80; location / {{ {rules} proxy_pass http://10.0.0.1; }}"
        " location /free/ { proxy_pass http://10.0.0.2; } } }",
    )
    assert made.access == []
    (limit,) = limits_of(made)
    assert (limit.counts, limit.amount, limit.per, limit.by) == (counts, amount, per, ("address",))
    assert limit.burst == pytest.approx(at_once)
    assert limits_of(made, "/free/") == []


def test_what_is_delayed_by_nginx_is_told_not_to_be(tmp_path: Path) -> None:
    made = nginx(
        tmp_path,
        f"http {{ {ZONES} server {{ listen 80; limit_req zone=one burst=5;"
        " location / { proxy_pass http://10.0.0.1; } } }",
    )
    assert "nothing is delayed" in made.told("limit_req zone").why
    assert made.access == []


def test_a_zone_that_several_routes_share_is_their_pools(tmp_path: Path) -> None:
    made = nginx(
        tmp_path,
        f"http {{ {ZONES} upstream app {{ server 10.0.0.1; }} server {{ listen 80;"
        " limit_req zone=one burst=5 nodelay; limit_conn addr 5;"
        " location / { proxy_pass http://app; } location /a/ { proxy_pass http://app; } } }",
    )
    assert made.access == []
    (pool,) = [each for each in made.configured.snapshot.pools if each.name == "app"]
    assert {each.counts for each in pool.limits} == {"requests", "concurrent"}
    assert all(not each.limits for each in made.configured.snapshot.routes)


@pytest.mark.parametrize(
    "rules",
    [
        "limit_req zone=odd;",
        "limit_req zone=none;",
        "limit_conn none 3;",
        "limit_req zone=slow burst=99999 nodelay;",
    ],
)
def test_limits_that_cannot_be_had_are_never_left_out_in_silence(
    tmp_path: Path, rules: str
) -> None:
    made = nginx(
        tmp_path,
        f"http {{ {ZONES} server {{ listen 80; location / {{ {rules}"
        " proxy_pass http://10.0.0.1; } } }",
    )
    assert made.access, rules


def test_a_zone_over_several_pools_counts_less_and_is_told(tmp_path: Path) -> None:
    made = nginx(
        tmp_path,
        f"http {{ {ZONES} server {{ listen 80; limit_req zone=one burst=5 nodelay;"
        " location / { proxy_pass http://10.0.0.1; } location /a/ { proxy_pass http://10.0.0.2; }"
        " } }",
    )
    assert "up to 2 times as much" in str(made.outcome.access[0])
    assert limits_of(made)
    assert limits_of(made, "/a/")


def test_limits_that_are_only_tried_are_none(tmp_path: Path) -> None:
    made = nginx(
        tmp_path,
        f"http {{ {ZONES} server {{ listen 80; limit_req zone=one; limit_req_dry_run on;"
        " location / { proxy_pass http://10.0.0.1; } } }",
    )
    assert made.access == []
    assert limits_of(made) == []
