"""HAProxy as a reverse proxy, with ``option http-no-delay`` so that chunks are not held back."""

from benchmarks.balancers.balancer import Balancer, ask, find
from benchmarks.site import BACKLOG, HEALTH_INTERVAL_S, HEALTH_PATH, KEEP_ALIVE_S, Site

_CONFIGURATION = """\
global
    nbthread {workers}
    maxconn {connections}
    ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
    mode {mode}
    {options}
    timeout connect 5s
    timeout client {keep_alive}s
    timeout server {keep_alive}s
    timeout http-keep-alive {keep_alive}s
    timeout http-request {keep_alive}s
    timeout tunnel {keep_alive}s
frontend clients
    bind 127.0.0.1:{port} backlog {backlog} {tls}
    maxconn {connections}
    {headers}
    default_backend endpoints
frontend metrics
    mode http
    bind 127.0.0.1:{admin_port}
    http-request use-service prometheus-exporter if {{ path /metrics }}
backend endpoints
    balance leastconn
    {check}
    default-server check inter {health_interval}s
    {endpoints}
"""


_HTTP_OPTIONS = """\
option http-no-delay
    option http-keep-alive
    option forwardfor
    http-reuse always"""
_HEADERS = """\
unique-id-format %[uuid()]
    unique-id-header X-Request-ID
    http-request set-header X-Forwarded-Proto {scheme}
    http-request set-header X-Forwarded-Host %[req.hdr(host)]"""


def _bound(site: Site) -> str:
    if site.certificate:
        alpn = "h2" if site.http2 else "http/1.1"
        return f"ssl crt {site.certificate.bundle} alpn {alpn}"
    return "proto h2" if site.http2 else ""


class HAProxy(Balancer):
    name = "HAProxy"

    def version(self) -> str:
        return ask(find("haproxy"), "-v").split()[2].partition("-")[0]

    def configuration(self, site: Site) -> str:
        return _CONFIGURATION.format(
            workers=site.workers,
            connections=site.connections,
            keep_alive=KEEP_ALIVE_S,
            port=site.port,
            admin_port=site.admin_port,
            backlog=BACKLOG,
            tls=_bound(site),
            mode="tcp" if site.protocol == "tcp" else "http",
            options="option splice-auto" if site.protocol == "tcp" else _HTTP_OPTIONS,
            headers="" if site.protocol == "tcp" else _HEADERS.format(scheme=site.scheme),
            check="" if site.protocol in ("tcp", "grpc") else f"option httpchk GET {HEALTH_PATH}",
            health_interval=HEALTH_INTERVAL_S,
            endpoints="\n    ".join(
                [
                    f"server e{i} {h}:{p}{' proto h2' * (site.protocol == 'grpc')}"
                    for i, (h, p) in enumerate(site.endpoints)
                ]
            ),
        )

    def command(self, site: Site) -> list[str]:
        return [find("haproxy"), "-db", "-q", "-f", self.file(site)]
