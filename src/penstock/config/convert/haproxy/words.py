"""Keywords of HAProxy that are not converted by name, and why."""

from typing import Final

# Rules of access, and what guards: never left out in silence. By their first words.
ACCESS: Final = (
    ("http-request", "deny"),
    ("http-request", "reject"),
    ("http-request", "auth"),
    ("http-request", "tarpit"),
    ("http-request", "silent-drop"),
    ("http-request", "allow"),
    ("http-request", "strict-mode"),
    ("http-request", "use-service"),
    ("http-request", "lua"),
    ("http-response", "deny"),
    ("http-response", "allow"),
    ("tcp-request", "connection", "reject"),
    ("tcp-request", "connection", "accept"),
    ("tcp-request", "connection", "silent-drop"),
    ("tcp-request", "session", "reject"),
    ("tcp-request", "session", "accept"),
    ("tcp-request", "content", "reject"),
    ("tcp-request", "content", "accept"),
    ("tcp-request", "content", "silent-drop"),
    ("tcp-response", "content", "reject"),
    ("block",),
    ("reqdeny",),
    ("reqideny",),
    ("reqtarpit",),
    ("reqallow",),
    ("filter", "spoe"),
)
# Of these kinds of line nothing is needed here.
NEEDLESS: Final = frozenset(
    (
        *("log", "log-format", "log-tag", "chroot", "stats", "user", "group", "daemon", "nbthread"),
        *("nbproc", "cpu-map", "ssl-default-bind-options", "ssl-default-bind-ciphers", "pidfile"),
        *(
            "ssl-default-bind-ciphersuites",
            "ssl-default-server-ciphers",
            "ssl-default-server-options",
        ),
        *("ssl-default-server-ciphersuites", "ca-base", "crt-base", "ulimit-n", "description"),
        *("http-reuse", "hash-type", "acl", "capture", "declare", "unique-id-format"),
        *("unique-id-header", "setenv", "presetenv", "master-worker", "mworker-max-reloads"),
        *(
            "hard-stop-after",
            "server-state-file",
            "server-state-base",
            "load-server-state-from-file",
        ),
        *("spread-checks", "enabled", "default-server", "max-keep-alive-queue", "fullconn", "id"),
        *("monitor-fail", "rate-limit", "bind-process", "process", "option", "mode", "maxsslconn"),
        *(
            "tune.ssl.default-dh-param",
            "maxpipes",
            "external-check",
            "insecure-fork-wanted",
            "node",
        ),
    )
)
OPTIONS_LEFT: Final = {
    "allbackups": "backups share the load here",
    "persist": "clients of a server that is down go elsewhere",
    "ldap-check": "LDAP is not spoken",
    "mysql-check": "`health_check: tcp` connects",
    "pgsql-check": "`health_check: tcp` connects",
    "redis-check": "`health_check: {kind: tcp, send: …, expect: …}` can ask Redis",
    "smtpchk": "`health_check: {kind: tcp, expect: …}` can read a greeting",
    "external-check": "`agent_check` asks an agent",
    "transparent": "the client's address is told by `proxy_protocol` or X-Forwarded-For",
    "originalto": "the address asked for is not told",
}
WHY: Final = {
    "compression": "`compression` of a pool",
    "errorfile": "`error_pages` has pages for errors",
    "errorfiles": "`error_pages` has pages for errors",
    "errorloc": "`error_pages` has pages for errors",
    "http-after-response": "headers of answers are changed by `response_headers`",
    "http-check": "part of a check that has no counterpart",
    "http-error": "`error_pages` has pages for errors",
    "monitor-uri": "a route with `respond: 200`",
    "retry-on": "`retry` of a pool",
    "server-template": "`discover` of a pool finds servers",
    "stick": "clients are kept by `source-hash` or `sticky`",
    "use-server": "servers are chosen by the policy",
}
