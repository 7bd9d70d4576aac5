"""Configuration of an nginx that answers every request with the same small JSON body."""

from pathlib import Path
from typing import Final

from benchmarks.balancers.nginx import TEMPORARY_PATHS, user_line
from benchmarks.limits import most_descriptors
from benchmarks.site import BACKLOG, KEEP_ALIVE_S, REQUESTS_PER_CONNECTION

# As small as an answer of an embedding or moderation call may be.
BODY: Final = '{"id":"req-1","object":"answer","ok":true,"text":"The quick brown fox."}'
_CONNECTIONS: Final = 16384

_CONFIGURATION: Final = """\
{user}
daemon off;
pid {directory}/{name}.pid;
error_log stderr error;
worker_processes 1;
worker_rlimit_nofile {descriptors};
events {{ use epoll; worker_connections {connections}; }}
http {{
    {temporary_paths}
    access_log off;
    default_type application/json;
    keepalive_timeout {keep_alive}s;
    keepalive_requests {requests};
    server {{
        {listen}
        location / {{ return 200 '{body}'; }}
    }}
}}
"""


def configuration(directory: Path, name: str, hosts: list[str], port: int) -> str:
    return _CONFIGURATION.format(
        user=user_line(),
        directory=directory,
        name=name,
        temporary_paths=TEMPORARY_PATHS.format(directory=directory),
        descriptors=min(_CONNECTIONS + 2048, most_descriptors()),
        connections=_CONNECTIONS,
        keep_alive=KEEP_ALIVE_S,
        requests=REQUESTS_PER_CONNECTION,
        listen="\n        ".join([f"listen {host}:{port} backlog={BACKLOG};" for host in hosts]),
        body=BODY,
    )
