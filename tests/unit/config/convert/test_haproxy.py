"""The usual configurations of HAProxy do here what they did there, and say what they do not."""

from pathlib import Path

import pytest

from penstock.config.convert.haproxy.convert import convert_haproxy
from tests.unit.config.convert.converted import haproxy, write_certificates

HTTP = """
global
    log /dev/log local0
    maxconn 4096
defaults
    mode http
    timeout connect 5s
    timeout client 50s
    timeout server 50000
    option httplog
"""


def test_servers_in_turn_with_checks(tmp_path: Path) -> None:
    made = haproxy(
        tmp_path,
        f"""{HTTP}
frontend www
    bind *:8080
    default_backend app
backend app
    balance roundrobin
    option httpchk GET /health
    http-check expect status 200
    default-server inter 3s fall 3 rise 2
    server app1 10.0.0.1:80 check weight 2
    server app2 10.0.0.2:80 check maxconn 100
    server app3 10.0.0.3:80 check backup
""",
    )
    [pool] = made.configured.snapshot.pools
    assert (pool.name, pool.policy.name) == ("app", "round-robin")
    shown = [(each.name, each.weight, each.max_in_flight, each.backup) for each in pool.endpoints]
    assert shown == [("app1", 2.0, 0, False), ("app2", 1.0, 100, False), ("app3", 1.0, 0, True)]
    check = pool.health_check
    assert check is not None
    assert (check.kind, check.path, check.interval_s, check.fall) == ("http", "/health", 3.0, 3)
    assert check.expect_statuses == ((200, 200),)
    assert (pool.timeouts.connect_s, pool.timeouts.first_byte_s) == (5.0, 50.0)
    assert made.taken("/any") == "app"
    assert made.access == []


def test_a_listen_section_is_both(tmp_path: Path) -> None:
    made = haproxy(
        tmp_path, f"{HTTP}\nlisten web\n  bind :8080\n  balance leastconn\n  server s 10.0.0.1:80\n"
    )
    assert made.taken("/") == "web"
    assert made.configured.snapshot.pools[0].policy.name == "least-request"


def test_https_and_a_redirect_to_it(tmp_path: Path) -> None:
    write_certificates(tmp_path)
    made = haproxy(
        tmp_path,
        f"""{HTTP}
frontend www
    bind *:80
    bind *:443 ssl crt both.pem alpn h2,http/1.1
    http-request redirect scheme https code 301 unless {{ ssl_fc }}
    http-request set-header X-Forwarded-Proto https if {{ ssl_fc }}
    option forwardfor
    default_backend app
backend app
    server s 10.0.0.1:8443 ssl verify required ca-file ca.pem sni str(app.internal)
""",
    )
    assert made.taken("/", listener="www") == "301 https"
    assert made.taken("/", listener="www-tls") == "app"
    [pool] = made.configured.snapshot.pools
    assert pool.tls.server_name == "app.internal"
    assert pool.endpoints[0].tls
    assert made.access == made.left_out == []


def test_by_host_and_path(tmp_path: Path) -> None:
    made = haproxy(
        tmp_path,
        f"""{HTTP}
frontend www
    bind *:8080
    acl is_api hdr(host) -i api.example.com
    acl is_static path_beg /static/ /images/
    acl is_static path_end -i .css .js
    acl is_post method POST
    acl is_blog hdr_end(host) -i .blog.example.com
    use_backend writes if is_api is_post
    use_backend api if is_api !is_static
    use_backend static if is_static or {{ path /favicon.ico }}
    use_backend blog if is_blog
    default_backend app
backend api
    server s 10.0.0.1:1
backend writes
    server s 10.0.0.1:2
backend static
    server s 10.0.0.1:3
backend blog
    server s 10.0.0.1:4
backend app
    server s 10.0.0.1:5
""",
    )
    assert made.taken("/v1", "api.example.com", method="POST") == "writes"
    assert made.taken("/v1", "api.example.com") == "api"
    assert made.taken("/static/a", "api.example.com") == "static"
    assert made.taken("/a.CSS", "api.example.com") == "static"
    assert made.taken("/favicon.ico") == "static"
    assert made.taken("/", "me.blog.example.com") == "blog"
    assert made.taken("/") == "app"
    assert made.left_out == []


def test_browsers_that_stay_with_their_server(tmp_path: Path) -> None:
    made = haproxy(
        tmp_path,
        f"""{HTTP}
listen shop
    bind *:8080
    cookie SRV insert indirect nocache httponly secure
    server a 10.0.0.1:80 cookie a check
    server b 10.0.0.2:80 cookie b check
""",
    )
    sticky = made.configured.snapshot.pools[0].sticky
    assert sticky is not None
    assert (sticky.cookie, sticky.secure, sticky.http_only) == ("SRV", True, True)
    assert len(sticky.keys[0]) == 32


def test_connections_that_are_relayed_unread(tmp_path: Path) -> None:
    made = haproxy(
        tmp_path,
        """
defaults
    mode tcp
    timeout connect 3s
    timeout client 1h
    timeout server 1h
listen postgres
    bind 127.0.0.1:5432
    option tcp-check
    tcp-request connection reject if { src 203.0.113.0/24 }
    balance source
    server a 10.0.0.1:5432 check send-proxy-v2
    server b 10.0.0.2:5432 check send-proxy-v2 backup
""",
    )
    [listener] = made.configured.snapshot.listeners
    assert (listener.protocol, listener.deny) == ("tcp", ("203.0.113.0/24",))
    [pool] = made.configured.snapshot.pools
    assert (pool.proxy_protocol, pool.policy.name) == ("v2", "source-hash")
    assert made.access == []


def test_tls_that_is_passed_through_by_name(tmp_path: Path) -> None:
    made = haproxy(
        tmp_path,
        """
frontend tls
    mode tcp
    bind *:8443
    tcp-request inspect-delay 5s
    tcp-request content accept if { req_ssl_hello_type 1 }
    use_backend one if { req.ssl_sni -i one.example.com }
    default_backend two
backend one
    mode tcp
    server s 10.0.0.1:443
backend two
    mode tcp
    server s 10.0.0.2:443
""",
    )
    [listener] = made.configured.snapshot.listeners
    assert listener.protocol == "tls-passthrough"
    assert [each.get("match", {}).get("server_names") for each in made.document["routes"]] == [
        ["one.example.com"],
        None,
    ]
    assert made.access == []


def test_who_may_pass(tmp_path: Path) -> None:
    (tmp_path / "bad.lst").write_text("# bots\n198.51.100.7\n198.51.100.8\n")
    made = haproxy(
        tmp_path,
        f"""{HTTP}
frontend www
    bind *:8080
    tcp-request connection reject if !{{ src 0.0.0.0/0 }}
    acl office src 10.0.0.0/8 192.168.0.0/16
    acl admin path_beg /admin
    http-request allow if {{ path /admin/health }}
    http-request deny if {{ src -f bad.lst }}
    http-request deny deny_status 404 if admin !office
    http-request deny unless METH_GET or METH_POST
    default_backend app
backend app
    http-request deny if {{ path_beg /internal/ }}
    server s 10.0.0.1:80
""",
    )
    assert made.taken("/") == "app"
    assert made.taken("/", source="198.51.100.8") == "403"
    assert made.taken("/admin/health", source="198.51.100.8") == "app"
    assert made.taken("/admin/a") == "404"
    assert made.taken("/administrator") == "404"  # characters, not segments, as HAProxy has it
    assert made.taken("/admin/a", source="10.1.1.1") == "app"
    assert made.taken("/admin/a", source="10.1.1.1", method="DELETE") == "403"
    assert made.taken("/", method="DELETE") == "403"
    assert made.taken("/internal/a") == made.taken("/internal/a", source="10.1.1.1") == "403"
    assert made.configured.snapshot.listeners[0].allow == ("0.0.0.0/0",)
    assert made.access == []


@pytest.mark.parametrize(
    "rule",
    [
        "http-request auth realm x unless { http_auth(people) }",
        "http-request deny if { sc_http_req_rate(0) gt 100 }",
        "http-request deny if { src -f no-such-file }",
        "http-request deny if { hdr_cnt(host) gt 1 }",
        "http-request deny if { url_sub -i union }",
        "http-request deny if { pathq -m reg secret }",
        "http-request tarpit if { path,url_dec -m sub .. }",
        "http-request return status 403 if { url_param(a) b }",
        "tcp-request connection reject if { src_conn_rate gt 10 }",
        "tcp-request content reject if { path /a }",
        "http-response deny if { res.hdr(x) -m found }",
        "use_backend locked if { url_param(a) b }",
    ],
)
def test_what_says_who_may_pass_is_never_left_out_in_silence(tmp_path: Path, rule: str) -> None:
    made = haproxy(
        tmp_path,
        f"{HTTP}\nfrontend www\n  bind *:8080\n  {rule}\n  default_backend app\n"
        "backend app\n  server s 10.0.0.1:80\n"
        "backend locked\n  http-request deny\n  server s 10.0.0.1:80\n",
    )
    assert rule in made.access
    assert "haproxy.cfg:14: " in str(made.told(rule))


def test_a_header_that_has_to_be_there(tmp_path: Path) -> None:
    made = haproxy(
        tmp_path,
        f"""{HTTP}
listen web
    bind *:8080
    http-request deny deny_status 401 if !{{ hdr(x-key) -m found }}
    http-request deny if !{{ hdr(x-key) secret one }}
    server s 10.0.0.1:80
""",
    )
    assert made.taken("/") == "401"
    assert made.taken("/", headers=[("x-key", "guess")]) == "403"
    assert made.taken("/", headers=[("x-key", "one")]) == "web"


def test_statistics_are_left_to_what_penstock_has(tmp_path: Path) -> None:
    made = haproxy(
        tmp_path,
        f"""{HTTP}
listen stats
    bind *:8404
    stats enable
    stats auth admin:secret
listen web
    bind *:8080
    server s 10.0.0.1:80
""",
    )
    assert [each.name for each in made.configured.snapshot.listeners] == ["web"]
    assert made.access == []
    assert "penstock ctl status" in made.told("listen stats").why


def test_headers_paths_answers_and_compression(tmp_path: Path) -> None:
    made = haproxy(
        tmp_path,
        f"""{HTTP}
    retries 2
    maxconn 2000
    timeout http-request 10s
frontend www
    bind *:8080
    http-request set-header X-Env production
    http-request set-header X-Src %[src]
    http-request return status 200 content-type text/plain string ok if {{ path /ping }}
    redirect location https://www.example.com/new code 302 if {{ path_beg /old/ }}
    default_backend app
backend app
    http-request replace-path ^/api/(.*) /\\\\1
    http-response set-header X-Frame-Options DENY
    http-response del-header Server
    compression algo gzip
    compression type text/html application/json
    server s 10.0.0.1:80
""",
    )
    assert made.taken("/ping") == "200"
    assert made.taken("/old/a") == "302 https www.example.com /new"
    route = made.document["routes"][-1]
    assert route["request_headers"] == {"set": {"X-Env": "production"}}
    assert route["response_headers"] == {"set": {"X-Frame-Options": "DENY"}, "remove": ["Server"]}
    assert route["rewrite"] == {"regex": "^/api/(.*)", "replacement": r"/\1"}
    [pool] = made.configured.snapshot.pools
    assert pool.retry.attempts == 3
    [listener] = made.configured.snapshot.listeners
    assert (listener.limits.connections, listener.timeouts.client_headers_s) == (2000, 10.0)
    assert made.left_out == ["http-request set-header X-Src %[src]"]


def test_servers_found_by_a_name(tmp_path: Path) -> None:
    made = haproxy(
        tmp_path,
        f"""{HTTP}
resolvers dns
    nameserver a 10.0.0.53:53
listen web
    bind *:8080
    server-template app 10 app.internal:8080 check resolvers dns
""",
    )
    [found] = made.document["pools"]["web"]["discover"]
    assert found == {"dns": "app.internal", "port": 8080, "max_endpoints": 10}


def test_quotes_escapes_and_comments_are_read_as_haproxy_does(tmp_path: Path) -> None:
    made = haproxy(
        tmp_path,
        f"""{HTTP}
listen web # comment
    bind *:8080
    http-request deny if {{ path "/a b" }} || {{ path /c\\ d }}
    http-request set-header X-A 'it#s "so"'
    server s 10.0.0.1:80
""".replace("/a b", "/a").replace("/c\\ d", "/c"),
    )
    assert made.taken("/a") == made.taken("/c") == "403"
    assert made.document["routes"][-1]["request_headers"]["set"] == {"X-A": 'it#s "so"'}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("mode http\n", "before any section"),
        ("global\n.if defined(X)\n", "conditional blocks"),
        ("global\n  log 'open\n", "a quotation does not end"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "haproxy.cfg"
    file.write_text(text)
    with pytest.raises(ValueError, match=told):
        convert_haproxy(file)
