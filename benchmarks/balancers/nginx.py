"""nginx as a reverse proxy. Its open-source form has no active health checks and no metrics
per endpoint: it is measured without, the others with them.
"""

import os

from benchmarks.balancers.balancer import Balancer, ask, find
from benchmarks.limits import most_descriptors
from benchmarks.site import BACKLOG, IDLE_TO_ENDPOINT, KEEP_ALIVE_S, REQUESTS_PER_CONNECTION, Site

# The paths that nginx would else take from where it was built, one of which root alone may write.
TEMPORARY_PATHS = "\n    ".join(
    [
        f"{kind}_temp_path {{directory}}/nginx-{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    ]
)

_CONFIGURATION = """\
{user}
daemon off;
pid {directory}/nginx-proxy.pid;
error_log stderr error;
worker_processes {workers};
worker_rlimit_nofile {descriptors};
events {{ use epoll; worker_connections {connections}; }}
http {{
    {temporary_paths}
    access_log off;
    keepalive_timeout {keep_alive}s;
    keepalive_requests {requests};
    client_header_timeout {keep_alive}s;
    send_timeout {keep_alive}s;
    upstream endpoints {{
        least_conn;
        {endpoints}
        keepalive {idle};
        keepalive_requests {requests};
        keepalive_timeout {keep_alive}s;
    }}
    server {{
        listen 127.0.0.1:{port} backlog={backlog} {listen};
        {tls}
        location / {{
            {passing}
            {streaming}
        }}
    }}
}}
"""
_PROXY = """\
proxy_pass http://endpoints;
            proxy_http_version 1.1;
            proxy_read_timeout {keep_alive}s;
            proxy_set_header Connection {connection};
            {upgrade}
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host $http_host;
            proxy_set_header X-Request-ID $request_id;"""
_GRPC = """\
grpc_pass grpc://endpoints;
            grpc_read_timeout {keep_alive}s;
            grpc_set_header Host $http_host;
            grpc_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            grpc_set_header X-Forwarded-Proto $scheme;
            grpc_set_header X-Forwarded-Host $http_host;
            grpc_set_header X-Request-ID $request_id;"""
# A body over the buffer, by default 16 KiB, goes through a file.
_STREAMING = """\
proxy_buffering off;
            client_body_buffer_size 1m;"""


# Debian has the module in a package of its own (libnginx-mod-stream).
_STREAM_CONFIGURATION = """\
{user}
daemon off;
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
pid {directory}/nginx-proxy.pid;
error_log stderr error;
worker_processes {workers};
events {{ use epoll; worker_connections {connections}; }}
stream {{
    upstream endpoints {{
        least_conn;
        {endpoints}
    }}
    server {{
        listen 127.0.0.1:{port} {listen};
        proxy_pass endpoints;
        proxy_timeout {keep_alive}s;
        tcp_nodelay on;
    }}
}}
"""


class Nginx(Balancer):
    name = "nginx"

    def version(self) -> str:
        return ask(find("nginx"), "-v").rpartition("/")[2].split()[0]

    def configuration(self, site: Site) -> str:
        if site.protocol in ("tcp", "udp"):
            return _STREAM_CONFIGURATION.format(
                user=user_line(),
                directory=site.directory,
                workers=site.workers,
                connections=site.connections * 2 + 64,
                keep_alive=KEEP_ALIVE_S,
                endpoints="\n        ".join([f"server {h}:{p};" for h, p in site.endpoints]),
                port=site.port,
                listen="udp" if site.protocol == "udp" else f"backlog={BACKLOG}",
            )
        tls = ""
        if site.certificate:
            tls = (
                f"ssl_certificate {site.certificate.certificate};\n"
                f"        ssl_certificate_key {site.certificate.key};\n"
                "        ssl_protocols TLSv1.2 TLSv1.3;\n"
                "        ssl_session_cache shared:sessions:10m;"
            )
        # On a connection that is used again its gRPC stumbles over a late window update of the last
        # call (1.22), answers 502, and would take the endpoint out.
        tolerance = " max_fails=0" if site.protocol == "grpc" else ""
        sockets = site.connections * 2 + len(site.endpoints) + 64
        # With less than a sixteenth free, nginx closes connections to have some in reserve
        # (ngx_drain_connections).
        sockets += sockets // 8
        return _CONFIGURATION.format(
            user=user_line(),
            directory=site.directory,
            temporary_paths=TEMPORARY_PATHS.format(directory=site.directory),
            workers=site.workers,
            connections=sockets,
            descriptors=min(sockets + 64, most_descriptors()),
            keep_alive=KEEP_ALIVE_S,
            requests=REQUESTS_PER_CONNECTION,
            endpoints="\n        ".join([f"server {h}:{p}{tolerance};" for h, p in site.endpoints]),
            idle=IDLE_TO_ENDPOINT * min(len(site.endpoints), 8),
            port=site.port,
            backlog=BACKLOG,
            listen=("http2 " * site.http2)
            + ("ssl" if site.certificate else "")
            + (" reuseport" * (site.workers > 1)),
            tls=tls,
            passing=_passing(site),
            streaming=_STREAMING if site.streaming else "",
        )

    def command(self, site: Site) -> list[str]:
        return [find("nginx"), "-p", str(site.directory), "-e", "stderr", "-c", self.file(site)]


def _passing(site: Site) -> str:
    """How requests go on."""
    if site.protocol == "grpc":
        return _GRPC.format(keep_alive=KEEP_ALIVE_S)
    changes = site.protocol == "websocket"
    return _PROXY.format(
        keep_alive=KEEP_ALIVE_S,
        connection="upgrade" if changes else '""',
        upgrade="proxy_set_header Upgrade $http_upgrade;" if changes else "",
    )


def user_line() -> str:
    """Started by root, nginx gives its workers to a user who may not read the temporary files."""
    return "user root root;" if os.geteuid() == 0 else ""
