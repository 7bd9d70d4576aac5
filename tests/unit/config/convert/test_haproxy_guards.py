"""Passwords and rates of HAProxy hold here, or are told."""

from pathlib import Path

import pytest

from penstock.wire.htpasswd import is_right
from tests.unit.config.convert.converted import haproxy
from tests.unit.config.convert.test_haproxy import HTTP

HASHED = (
    "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEO"
    "faS35inz1"
)
USERS = f"""
userlist people
    group admins users ada
    user ada password {HASHED}
    user bob insecure-password secret groups readers
"""


def test_passwords_of_a_userlist_are_asked_for_by_a_file_beside(tmp_path: Path) -> None:
    made = haproxy(
        tmp_path,
        f"""{HTTP}
{USERS}
frontend www
    bind *:8080
    acl known http_auth(people)
    http-request auth realm Staff if {{ path_beg /admin/ }} !known
    default_backend app
backend app
    server s 10.0.0.1:80
""",
    )
    assert made.access == []
    asks = {each.match.path: each.basic_auth for each in made.configured.snapshot.routes}
    auth = asks["/admin/"]
    assert auth is not None
    assert auth.realm == "Staff"
    assert is_right(auth.users["ada"], b"Hello world!")
    assert is_right(auth.users["bob"], b"secret")
    assert asks[""] is None
    assert "secret" not in made.outcome.text()


def test_of_a_group_its_users_alone_may_pass(tmp_path: Path) -> None:
    made = haproxy(
        tmp_path,
        f"{HTTP}\n{USERS}\nlisten web\n  bind *:8080\n"
        "  http-request auth unless { http_auth_group(people) admins }\n  server s 10.0.0.1:80\n",
    )
    (route,) = made.configured.snapshot.routes
    assert route.basic_auth is not None
    assert (list(route.basic_auth.users), route.basic_auth.realm) == (["ada"], "web")
    assert made.access == []


@pytest.mark.parametrize(
    "rule",
    [
        "http-request auth unless { http_auth(nobody) }",
        "http-request auth unless { http_auth_group(people) none }",
        "http-request auth unless { http_auth(old) }",
        "http-request auth",
        "http-request auth if { http_auth(people) }",
        "http-request auth unless { http_auth(people) } { path /b }",
    ],
)
def test_passwords_that_cannot_be_asked_for_so_are_never_left_out_in_silence(
    tmp_path: Path, rule: str
) -> None:
    made = haproxy(
        tmp_path,
        f"{HTTP}\n{USERS}\nuserlist old\n  user eve password $1$a$b\n"
        f"listen web\n  bind *:8080\n  {rule}\n  server s 10.0.0.1:80\n",
    )
    assert rule in made.access


def test_an_answer_of_ours_asks_for_no_password_and_is_told(tmp_path: Path) -> None:
    made = haproxy(
        tmp_path,
        f"{HTTP}\n{USERS}\nlisten web\n  bind *:8080\n"
        "  http-request auth unless { http_auth(people) }\n"
        "  http-request return status 200 string hidden if { path /a }\n  server s 10.0.0.1:80\n",
    )
    assert made.access == ["http-request auth unless { http_auth(people) }"]


RATE = """
frontend www
    bind *:8080
    stick-table type ip size 100k expire 30s store http_req_rate(10s)
    http-request track-sc0 src
    {rule}
    default_backend app
backend app
    server s 10.0.0.1:80
"""


@pytest.mark.parametrize(
    ("rule", "amount", "per", "at_once"),
    [
        ("http-request deny deny_status 429 if { sc_http_req_rate(0) gt 20 }", 120, "minute", 20),
        ("http-request deny if { sc0_http_req_rate gt 5 }", 30, "minute", 5),
        ("http-request deny if { sc0_http_req_rate(www) ge 21 }", 120, "minute", 20),
        ("http-request tarpit if { src_http_req_rate() gt 100 }", 600, "minute", 100),
        (
            "acl fast sc_http_req_rate(0,www) gt 7\n    http-request deny if fast",
            42,
            "minute",
            7,
        ),
    ],
)
def test_rates_by_address_are_limits(
    tmp_path: Path, rule: str, amount: int, per: str, at_once: int
) -> None:
    made = haproxy(tmp_path, HTTP + RATE.replace("{rule}", rule))
    assert made.access == []
    assert not any("stick-table" in each or "track" in each for each in made.left_out)
    (route,) = made.configured.snapshot.routes
    (limit,) = route.limits
    assert (limit.amount, limit.per, limit.by) == (amount, per, ("address",))
    assert limit.burst == pytest.approx(at_once)


def test_a_table_of_its_own_is_counted_in_by_the_pool_that_all_routes_lead_to(
    tmp_path: Path,
) -> None:
    made = haproxy(
        tmp_path,
        f"""{HTTP}
backend per_ip
    stick-table type ip size 1m expire 10m store http_req_rate(1m)
frontend www
    bind *:8080
    http-request track-sc1 src table per_ip
    http-request deny if {{ sc_http_req_rate(1) gt 60 }}
    http-request deny if {{ path /hidden }}
    use_backend app if {{ path_beg /a/ }}
    default_backend app
backend app
    server s 10.0.0.1:80
""",
    )
    assert made.access == []
    assert made.left_out == ["http-request deny if { sc_http_req_rate(1) gt 60 }"]
    (pool,) = made.configured.snapshot.pools
    (limit,) = pool.limits
    assert (limit.amount, limit.per, limit.burst) == (60, "minute", 0.0)
    assert made.taken("/hidden") == "403"


def test_a_rate_of_some_requests_holds_those_alone(tmp_path: Path) -> None:
    made = haproxy(
        tmp_path,
        HTTP
        + RATE.replace("track-sc0 src", "track-sc0 src if { path /login }").replace(
            "{rule}", "http-request deny if { sc_http_req_rate(0) gt 5 }"
        ),
    )
    limits = {each.match.path: len(each.limits) for each in made.configured.snapshot.routes}
    assert limits == {"/login": 1, "": 0}
    assert made.access == []


@pytest.mark.parametrize(
    "rule",
    [
        "http-request deny if { sc_http_req_rate(0) gt 5 } { path /login }",
        "http-request deny if { sc_http_req_rate(1) gt 5 }",
        "http-request deny if { sc_http_req_rate(0,other) gt 5 }",
        "http-request deny if { sc_http_req_rate(0) gt 0 }",
        "http-request deny unless { sc_http_req_rate(0) gt 5 }",
        "http-request deny if { sc_http_err_rate(0) gt 5 }",
        "http-request deny if { sc_conn_cur(0) gt 5 }",
        "http-request deny if { sc_http_req_rate(0) lt 5 }",
    ],
)
def test_rates_that_are_no_limits_are_never_left_out_in_silence(tmp_path: Path, rule: str) -> None:
    made = haproxy(tmp_path, HTTP + RATE.replace("{rule}", rule))
    assert rule in made.access


def test_a_rate_over_several_pools_counts_less_and_is_told(tmp_path: Path) -> None:
    rule = "http-request deny if { sc_http_req_rate(0) gt 20 }"
    made = haproxy(
        tmp_path,
        HTTP
        + RATE.replace("{rule}", rule).replace(
            "default_backend", "use_backend b if { path /b }\n  default_backend"
        )
        + "backend b\n    server s 10.0.0.2:80\n",
    )
    assert made.access == [rule]
    assert "up to 2 times" in made.told(rule).why
