"""The usual configurations of nginx do here what they did there, and say what they do not."""

from pathlib import Path

import pytest

from penstock.config.convert.nginx.convert import convert_nginx
from penstock.config.convert.nginx.reader import UnreadableFileError
from tests.unit.config.convert.converted import nginx, write_certificates


def test_one_application_behind_a_server_of_sites_enabled(tmp_path: Path) -> None:
    made = nginx(
        tmp_path,
        """
        server {
            listen 80;
            listen [::]:80;
            server_name app.example.com;
            location / {
                proxy_pass http://127.0.0.1:3000;
                proxy_http_version 1.1;
                proxy_set_header Upgrade $http_upgrade;
                proxy_set_header Connection "upgrade";
                proxy_set_header Host $host;
                proxy_set_header X-Real-IP $remote_addr;
                proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
                proxy_set_header X-Forwarded-Proto $scheme;
            }
        }
        """,
    )
    assert made.document["listeners"]["http-80"]["address"] == ":80"
    assert made.document["pools"] == {
        "127.0.0.1-3000": {"endpoints": ["http://127.0.0.1:3000"], "host_header": "pass"}
    }
    assert made.taken("/any", "other.example.com") == "127.0.0.1-3000"
    assert made.left_out == ["proxy_set_header X-Real-IP $remote_addr"]
    assert made.configured.snapshot.listeners[0].limits.body_bytes == 1 << 20


def test_servers_with_weights_backups_and_failures(tmp_path: Path) -> None:
    made = nginx(
        tmp_path,
        """
        user www-data;
        events { worker_connections 1024; }
        http {
            upstream app {
                least_conn;
                server 10.0.0.1:8080 weight=3 max_fails=3 fail_timeout=30s;
                server 10.0.0.2:8080 max_conns=50 max_fails=3 fail_timeout=30s;
                server 10.0.0.3:8080 backup max_fails=3 fail_timeout=30s;
                server 10.0.0.4:8080 down max_fails=3 fail_timeout=30s;
                keepalive 32;
            }
            server { listen 8080; location / { proxy_pass http://app; } }
        }
        """,
    )
    [pool] = made.configured.snapshot.pools
    assert (pool.policy.name, pool.outlier.consecutive_failures) == ("least-request", 3)
    assert pool.connections.max_idle == 32
    shown = [(each.weight, each.max_in_flight, each.backup) for each in pool.endpoints]
    assert shown == [(3.0, 0, False), (1.0, 50, False), (1.0, 0, True), (0.0, 0, False)]
    assert pool.host_header == "app"  # $proxy_host, as nginx sends it
    assert made.left_out == made.access == []


@pytest.mark.parametrize(
    ("directive", "policy", "key"),
    [
        ("", "round-robin", "source"),
        ("ip_hash;", "source-hash", "source"),
        ("random two least_conn;", "power-of-two", "source"),
        ("hash $http_x_user consistent;", "consistent-hash", "header"),
        ("hash $cookie_sid;", "consistent-hash", "cookie"),
        ("hash $uri consistent;", "consistent-hash", "path"),
    ],
)
def test_ways_to_choose(tmp_path: Path, directive: str, policy: str, key: str) -> None:
    made = nginx(
        tmp_path,
        f"upstream a {{ {directive} server 10.0.0.1:80; server 10.0.0.2:80; }}"
        "server { listen 81; location / { proxy_pass http://a; } }",
    )
    [pool] = made.configured.snapshot.pools
    assert (pool.policy.name, pool.hash_key.kind) == (policy, key)


def test_https_with_a_redirect_as_certbot_writes_it(tmp_path: Path) -> None:
    write_certificates(tmp_path)
    made = nginx(
        tmp_path,
        """
        server {
            server_name www.example.com;
            location / { proxy_pass http://localhost:8000; }
            listen 443 ssl http2;
            ssl_certificate www.pem;
            ssl_certificate_key www.key;
            ssl_protocols TLSv1.2 TLSv1.3;
            ssl_session_cache shared:SSL:10m;
        }
        server {
            if ($host = www.example.com) { return 301 https://$host$request_uri; }
            listen 80;
            server_name www.example.com;
            return 404;
        }
        """,
    )
    assert made.taken("/a", "www.example.com", listener="http-80") == "301 https"
    assert made.taken("/a", "else.example.com", listener="http-80") == "404"
    assert made.taken("/a", "www.example.com", listener="https-443") == "localhost-8000"
    assert made.left_out == made.access == []


def test_several_sites_by_name(tmp_path: Path) -> None:
    made = nginx(
        tmp_path,
        """
        server { listen 80; server_name api.example.com;
                 location / { proxy_pass http://10.0.0.1:1; } }
        server { listen 80; server_name *.example.com;
                 location / { proxy_pass http://10.0.0.1:2; } }
        server { listen 80 default_server; server_name _; return 444; }
        server { listen 80; server_name shop.example.com;
                 location /cart/ { proxy_pass http://10.0.0.1:3; } }
        """,
    )
    assert made.taken("/", "api.example.com") == "10.0.0.1-1"
    assert made.taken("/", "any.example.com") == "10.0.0.1-2"
    assert made.taken("/cart/1", "shop.example.com") == "10.0.0.1-3"
    assert made.taken("/", "shop.example.com") == "404"  # and not the server of `*.`
    assert made.taken("/", "elsewhere.org") == "403"


def test_locations_are_looked_at_in_the_order_of_nginx(tmp_path: Path) -> None:
    made = nginx(
        tmp_path,
        r"""
        server {
            listen 80;
            location / { proxy_pass http://10.0.0.1:1; }
            location /images/ { proxy_pass http://10.0.0.1:2; }
            location /images/small/ { proxy_pass http://10.0.0.1:3; }
            location ~* \.(gif|jpg)$ { proxy_pass http://10.0.0.1:4; }
            location ^~ /raw/ { proxy_pass http://10.0.0.1:5; }
            location = /exact { return 200 "ok"; }
            location /api { proxy_pass http://10.0.0.1:6; }
        }
        """,
    )
    taken = {
        "/": 1,
        "/images/a": 2,
        "/images/small/a": 3,
        "/images/a.JPG": 4,
        "/raw/a.jpg": 5,
        "/api/v1": 6,
        "/exact/a": 1,
    }
    assert {path: made.taken(path) for path in taken} == {
        path: f"10.0.0.1-{port}" for path, port in taken.items()
    }
    assert made.taken("/exact") == "200"
    assert "whole segments here" in made.told("location /api").why


def test_paths_are_changed_by_proxy_pass_and_by_rewrite(tmp_path: Path) -> None:
    made = nginx(
        tmp_path,
        r"""
        server {
            listen 80;
            location /api/ { proxy_pass http://10.0.0.1:1/v2/; }
            location /old/ { rewrite ^/old/(.*)$ /new/$1 break; proxy_pass http://10.0.0.1:2; }
        }
        """,
    )
    rewrites = {route["pool"]: route["rewrite"] for route in made.document["routes"][:2]}
    assert rewrites == {
        "10.0.0.1-1": {"prefix": "/api/", "replacement": "/v2/"},
        "10.0.0.1-2": {"regex": "^/old/(.*)$", "replacement": r"/new/\1"},
    }


def test_networks_that_may_pass_and_methods_that_may_not(tmp_path: Path) -> None:
    made = nginx(
        tmp_path,
        """
        server {
            listen 80;
            deny 203.0.113.66;
            location / { proxy_pass http://10.0.0.1:1; }
            location /admin { allow 10.0.0.0/8; allow 192.168.1.1; deny all;
                              proxy_pass http://10.0.0.1:2; }
            location /read/ { limit_except GET { allow 10.0.0.0/8; deny all; }
                              proxy_pass http://10.0.0.1:3; }
            location /hidden/ { internal; proxy_pass http://10.0.0.1:4; }
        }
        """,
    )
    assert made.taken("/") == "10.0.0.1-1"
    assert made.taken("/", source="203.0.113.66") == "403"
    assert made.taken("/admin/a") == "403"
    assert made.taken("/admin.php") == "403"  # a prefix of characters, as nginx's is
    assert made.taken("/admin/a", source="10.1.2.3") == "10.0.0.1-2"
    assert made.taken("/admin/a", source="192.168.1.1") == "10.0.0.1-2"
    assert made.taken("/read/a", method="HEAD") == "10.0.0.1-3"
    assert made.taken("/read/a", method="POST") == "403"
    assert made.taken("/read/a", method="POST", source="10.1.2.3") == "10.0.0.1-3"
    assert made.taken("/hidden/a") == "404"
    assert made.access == []


@pytest.mark.parametrize(
    "rule",
    [
        'auth_basic "Members";',
        "auth_basic x; auth_basic_user_file users; satisfy any; allow 10.0.0.0/8; deny all;",
        "auth_basic x; auth_basic_user_file $users;",
        "auth_request /auth;",
        "satisfy any; allow 10.0.0.0/8; deny all;",
        "if ($bad_bot) { return 403; }",
        "if ($arg_key != secret) { return 401; }",
        "limit_req zone=one burst=5;",
        'if ($request_uri ~* "union") { return 403; }',
        "allow office.example.com; deny all;",
        "secure_link $arg_md5;",
        "include guards.conf;",
        "limit_except GET { auth_basic x; }",
        "location ~ ^/in((ner { allow 10.0.0.0/8; deny all; }",
        "proxy_set_header X-Client-DN $ssl_client_s_dn;",
    ],
)
def test_what_says_who_may_pass_is_never_left_out_in_silence(tmp_path: Path, rule: str) -> None:
    made = nginx(
        tmp_path,
        f"server {{ listen 80; location / {{ {rule} proxy_pass http://10.0.0.1:1; }} }}",
    )
    assert made.access, rule
    assert "nginx.conf:1: " in str(made.outcome.access[0])


def test_passwords_are_asked_for_by_the_same_file(tmp_path: Path) -> None:
    (tmp_path / "users").write_text("ada:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n")
    made = nginx(
        tmp_path,
        'server { listen 80; auth_basic "Staff only"; auth_basic_user_file users;'
        " location / { proxy_pass http://10.0.0.1:1; }"
        " location /open/ { auth_basic off; proxy_pass http://10.0.0.1:2; } }",
    )
    asks = {each["pool"]: each.get("basic_auth") for each in made.document["routes"]}
    assert asks == {
        "10.0.0.1-1": {"file": "users", "realm": "Staff only"},
        "10.0.0.1-2": None,
    }
    assert made.access == []


def test_a_header_that_has_to_be_there(tmp_path: Path) -> None:
    made = nginx(
        tmp_path,
        "server { listen 80; location / {"
        ' if ($http_x_key = "") { return 401; } if ($http_x_key != secret) { return 403; }'
        " proxy_pass http://10.0.0.1:1; } }",
    )
    assert made.taken("/") == "401"
    assert made.taken("/", headers=[("x-key", "guess")]) == "403"
    assert made.taken("/", headers=[("x-key", "secret")]) == "10.0.0.1-1"


def test_a_guarded_location_within_one_that_is_final_stays_guarded(tmp_path: Path) -> None:
    made = nginx(
        tmp_path,
        "server { listen 80; location ^~ /a/ { proxy_pass http://10.0.0.1:1; }"
        " location /a/b/ { deny all; proxy_pass http://10.0.0.1:1; } }",
    )
    assert made.taken("/a/x") == "10.0.0.1-1"
    assert made.taken("/a/b/x") == "403"


def test_a_guard_that_is_turned_off_is_none(tmp_path: Path) -> None:
    made = nginx(
        tmp_path, "server { listen 80; location / { auth_basic off; proxy_pass http://10.0.0.1; } }"
    )
    assert made.access == []


def test_files_beside_an_application(tmp_path: Path) -> None:
    made = nginx(
        tmp_path,
        """
        server {
            listen 80;
            root /var/www/html;
            location / { try_files $uri @app; }
            location @app { proxy_pass http://unix:/run/gunicorn.sock; }
            location ~ \\.php$ { fastcgi_pass unix:/run/php.sock; }
            location /static/ { alias /srv/static/; expires 30d; }
        }
        """,
    )
    [pool] = made.document["pools"]
    assert made.document["pools"][pool]["endpoints"] == ["unix:/run/gunicorn.sock"]
    assert made.taken("/page") == pool
    assert made.taken("/index.php") == made.taken("/static/a.css") == "404"
    assert {"root /var/www/html", "try_files $uri @app", "alias /srv/static/"} < {*made.left_out}


def test_certificates_of_clients_headers_compression_and_limits(tmp_path: Path) -> None:
    write_certificates(tmp_path)
    made = nginx(
        tmp_path,
        """
        http {
            gzip on; gzip_types text/css application/json; gzip_min_length 1000;
            client_max_body_size 10m; client_header_timeout 5s; keepalive_timeout 30;
            set_real_ip_from 10.0.0.0/8; real_ip_header X-Forwarded-For;
            server {
                listen 443 ssl;
                ssl_certificate www.pem; ssl_certificate_key www.key;
                ssl_client_certificate ca.pem; ssl_verify_client on;
                add_header Strict-Transport-Security "max-age=63072000" always;
                proxy_hide_header X-Powered-By;
                location / {
                    proxy_pass https://backend.internal:8443;
                    proxy_ssl_verify on; proxy_ssl_trusted_certificate ca.pem;
                    proxy_connect_timeout 5s; proxy_read_timeout 300s;
                    proxy_next_upstream error timeout http_503; proxy_next_upstream_tries 2;
                    proxy_set_header X-Key secret; proxy_set_header Accept-Encoding "";
                }
                location /upload/ { client_max_body_size 1g; proxy_pass http://10.0.0.1; }
            }
        }
        """,
    )
    [listener] = made.configured.snapshot.listeners
    assert listener.tls.client_ca_file.endswith("ca.pem")
    assert listener.limits.body_bytes == 1 << 30
    assert (listener.timeouts.client_headers_s, listener.trusted_proxies) == (5.0, ("10.0.0.0/8",))
    pool = next(each for each in made.configured.snapshot.pools if "backend" in each.name)
    assert (pool.timeouts.first_byte_s, pool.retry.attempts) == (300.0, 2)
    assert pool.retry.on_statuses == (503,)
    [route] = [each for each in made.document["routes"] if each.get("pool") == pool.name]
    assert route["request_headers"] == {"set": {"X-Key": "secret"}, "remove": ["Accept-Encoding"]}
    assert route["response_headers"]["set"] == {"Strict-Transport-Security": "max-age=63072000"}
    assert route["compression"]["types"] == ["text/html", "text/css", "application/json"]
    assert made.access == made.left_out == []


def test_clients_certificates_that_one_of_two_servers_asks_for_are_told(tmp_path: Path) -> None:
    write_certificates(tmp_path)
    tls = "listen 443 ssl; ssl_certificate www.pem; ssl_certificate_key www.key;"
    made = nginx(
        tmp_path,
        f"server {{ {tls} server_name www.example.com; location / {{ proxy_pass http://a:1; }} }}"
        f"server {{ {tls} server_name api.example.com; ssl_client_certificate ca.pem;"
        "ssl_verify_client on; location / { proxy_pass http://a:2; } }",
    )
    assert made.access == ["ssl_client_certificate ca.pem", "ssl_verify_client on"]


def test_connections_and_datagrams_of_stream(tmp_path: Path) -> None:
    made = nginx(
        tmp_path,
        """
        stream {
            upstream db { server 10.0.0.1:5432; server 10.0.0.2:5432 backup; }
            server { listen 5432; allow 10.0.0.0/8; deny all; proxy_pass db; }
            server { listen 53 udp; proxy_pass 10.0.0.3:53; }
        }
        """,
    )
    database, names = made.configured.snapshot.listeners
    assert (database.protocol, database.allow) == ("tcp", ("10.0.0.0/8",))
    assert names.protocol == "udp"
    assert made.access == []


def test_variables_are_never_taken_for_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME_OF", "put in")
    made = nginx(tmp_path, 'server { listen 80; location / { return 200 "a\\${HOME_OF}"; } }')
    assert "put in" not in str(made.configured.snapshot.routes)


def test_what_is_no_configuration_is_refused_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "nginx.conf"
    file.write_text("server { listen 80;\n")
    with pytest.raises(UnreadableFileError, match=r"nginx\.conf"):
        convert_nginx(file)
