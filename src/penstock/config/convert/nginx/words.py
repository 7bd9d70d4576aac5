"""Directives of nginx that are not converted by name, and why; how it writes times and sizes."""

import re
from typing import Final

# Rules of access, and what guards: never left out in silence.
ACCESS: Final = {
    "allow": "a network that may pass",
    "deny": "a network that may not pass",
    "auth_basic": "`basic_auth` of a route needs a file, and no `satisfy any` beside it",
    "auth_basic_user_file": "`basic_auth` of a route needs a realm, and no `satisfy any` beside it",
    "auth_request": "`forward_auth` of a route asks a service, without `satisfy any` beside it",
    "auth_jwt": "tokens are not verified by Penstock",
    "auth_jwt_key_file": "tokens are not verified by Penstock",
    "auth_delay": "wrong passwords are counted by address instead",
    "satisfy": "`satisfy any` lets pass by address or by password",
    "valid_referers": "`Referer` is not judged",
    "secure_link": "signed links are not verified",
    "secure_link_md5": "signed links are not verified",
    "secure_link_secret": "signed links are not verified",
    "limit_except": "methods that may not pass",
    "internal": "what clients may not ask for",
    "ssl_verify_client": "certificates of clients",
    "ssl_client_certificate": "certificates of clients",
    "ssl_trusted_certificate": "authorities of clients' certificates",
    "ssl_crl": "revoked certificates of clients",
    "ssl_verify_depth": "how long chains of clients' certificates may be",
    "ssl_reject_handshake": "handshakes are not refused by name",
    "access_by_lua_block": "Lua does not run here",
    "access_by_lua_file": "Lua does not run here",
    "js_access": "njs does not run here",
    "geoip2": "places are not looked up",
    "geoip_country": "places are not looked up",
    "modsecurity": "requests are not inspected by rules",
    "modsecurity_rules": "requests are not inspected by rules",
    "modsecurity_rules_file": "requests are not inspected by rules",
    "limit_req": "its zone is not told",
    "limit_conn": "its zone is not told",
    "disable_symlinks": "files are not served",
}
# What has no counterpart because nothing here needs it.
NEEDLESS: Final = frozenset(
    (
        *("accept_mutex", "aio", "chunked_transfer_encoding", "client_body_buffer_size", "daemon"),
        *(
            "client_body_temp_path",
            "client_header_buffer_size",
            "default_type",
            "directio",
            "epoll",
        ),
        *("gzip_comp_level", "gzip_disable", "gzip_http_version", "gzip_proxied", "gzip_vary"),
        *("http2", "http2_max_concurrent_streams", "index", "keepalive_disable", "load_module"),
        *("log_not_found", "msie_padding", "multi_accept", "open_file_cache", "output_buffers"),
        *(
            "open_file_cache_errors",
            "open_file_cache_min_uses",
            "open_file_cache_valid",
            "pcre_jit",
        ),
        *(
            "pid",
            "proxy_buffer_size",
            "proxy_buffering",
            "proxy_buffers",
            "proxy_busy_buffers_size",
        ),
        *("proxy_http_version", "proxy_max_temp_file_size", "proxy_redirect", "proxy_send_timeout"),
        *("proxy_request_buffering", "proxy_socket_keepalive", "proxy_temp_file_write_size"),
        *("proxy_headers_hash_bucket_size", "proxy_headers_hash_max_size", "proxy_temp_path"),
        *(
            "proxy_ssl_server_name",
            "proxy_ssl_session_reuse",
            "proxy_ssl_protocols",
            "send_timeout",
        ),
        *("reset_timedout_connection", "resolver", "resolver_timeout", "sendfile", "server_tokens"),
        *("server_name_in_redirect", "server_names_hash_bucket_size", "server_names_hash_max_size"),
        *(
            "ssl_buffer_size",
            "ssl_dhparam",
            "ssl_early_data",
            "ssl_ecdh_curve",
            "ssl_session_cache",
        ),
        *(
            "ssl_prefer_server_ciphers",
            "ssl_session_tickets",
            "ssl_session_timeout",
            "ssl_stapling",
        ),
        *("ssl_stapling_verify", "tcp_nodelay", "tcp_nopush", "thread_pool", "timer_resolution"),
        *(
            "types",
            "types_hash_max_size",
            "types_hash_bucket_size",
            "use",
            "user",
            "underscores_in_headers",
        ),
        *(
            "variables_hash_max_size",
            "worker_aio_requests",
            "worker_connections",
            "worker_processes",
        ),
        *("worker_cpu_affinity", "worker_priority", "worker_rlimit_nofile", "zone", "events"),
        *(
            "worker_shutdown_timeout",
            "map_hash_bucket_size",
            "map_hash_max_size",
            "ignore_invalid_headers",
        ),
        *("limit_req_zone", "limit_conn_zone", "limit_req_status", "limit_conn_status"),
        *(
            "limit_req_log_level",
            "limit_conn_log_level",
            "charset",
            "port_in_redirect",
            "absolute_redirect",
        ),
        *("keepalive_time", "lingering_close", "lingering_time", "lingering_timeout", "ssl"),
        *(
            "proxy_intercept_errors",
            "ssl_protocols",
            "master_process",
            "large_client_header_buffers",
        ),
    )
)
WHY: Final = {
    "access_log": "`request_log: {to: FILE, format: combined}` writes such lines",
    "alias": "files are not served",
    "error_log": "Penstock logs to its standard error",
    "error_page": "`error_pages` has pages for errors",
    "expires": "answers are not given ages",
    "fastcgi_pass": "FastCGI is not spoken",
    "health_check": "`health_check` of a pool",
    "log_format": "`request_log` has the formats json, common, combined and haproxy",
    "map": "variables are not computed",
    "geo": "variables are not computed",
    "split_clients": "`pools: {a: 95, b: 5}` of a route splits traffic",
    "mirror": "`mirror` of a route",
    "proxy_cache": "answers are not cached",
    "proxy_cache_path": "answers are not cached",
    "proxy_cache_valid": "answers are not cached",
    "proxy_cookie_path": "cookies are not rewritten",
    "proxy_cookie_domain": "cookies are not rewritten",
    "root": "files are not served",
    "scgi_pass": "SCGI is not spoken",
    "set": "variables are not computed",
    "ssl_ciphers": "OpenSSL's choice is used; `cipher_suites` can say others",
    "sub_filter": "bodies are not changed",
    "try_files": "files are not served",
    "uwsgi_pass": "uwsgi is not spoken",
}
_SECONDS: Final = {
    "ms": 0.001,
    "s": 1,
    "m": 60,
    "h": 3600,
    "d": 86400,
    "w": 604800,
    "M": 2592000,
    "y": 31536000,
}


def seconds(text: str) -> float:
    """Of ``60``, ``60s`` or ``1h 30m``. Raises ValueError."""
    parts = re.findall(r"(\d+)(ms|[smhdwMy])?", text)
    if not parts or re.sub(r"\d+(?:ms|[smhdwMy])?|\s", "", text):
        raise ValueError(f"{text!r} is no time")
    return float(sum(int(number) * _SECONDS[unit or "s"] for number, unit in parts))


def size_bytes(text: str) -> int:
    """Of ``8k``, ``1m`` or a number. Raises ValueError."""
    found = re.fullmatch(r"(\d+)([kmgKMG]?)", text)
    if found is None:
        raise ValueError(f"{text!r} is no size")
    return int(found[1]) << (10 * (" kmg".find(found[2].lower() or " ")))


def size(count: int) -> str | int:
    """Bytes as the document writes them; 0 is any size."""
    if count == 0:
        return "off"
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count % factor == 0:
            return f"{count // factor}{unit}"
    return count
