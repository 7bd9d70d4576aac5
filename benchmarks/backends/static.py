"""Configuration of an nginx that answers every request with the same small JSON body."""

from pathlib import Path
from typing import Final

from benchmarks.balancers.nginx import TEMPORARY_PATHS, user_line
from benchmarks.limits import most_descriptors
from benchmarks.site import BACKLOG, KEEP_ALIVE_S, REQUESTS_PER_CONNECTION
from penstock.wire.grpc_messages import encode_message

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
        location / {{ {answer} }}
    }}
}}
"""


# nginx answers a POST with a file once it is told that 405 is none.
_GRPC_ANSWER: Final = """\
root {directory};
            default_type application/grpc;
            try_files /{message} =404;
            error_page 405 =200 /{message};
            add_trailer grpc-status 0;
            add_trailer grpc-message "";"""
MESSAGE: Final = "message"  # the file with gRPC's answer


def configuration(
    directory: Path,
    name: str,
    hosts: list[str],
    port: int,
    *,
    grpc: bool = False,
    body: str = BODY,
    events: bool = False,
) -> str:
    """``grpc``: over HTTP/2 with prior knowledge, each answer a message and trailers.
    ``events``: the body is a stream's."""
    answer = f"return 200 '{body}';"
    if events:
        answer = f"default_type text/event-stream; {answer}"
    if grpc:
        (directory / MESSAGE).write_bytes(encode_message(BODY.encode()))
        answer = _GRPC_ANSWER.format(directory=directory, message=MESSAGE)
    http2 = " http2" * grpc
    return _CONFIGURATION.format(
        user=user_line(),
        directory=directory,
        name=name,
        temporary_paths=TEMPORARY_PATHS.format(directory=directory),
        descriptors=min(_CONNECTIONS + 2048, most_descriptors()),
        connections=_CONNECTIONS,
        keep_alive=KEEP_ALIVE_S,
        requests=REQUESTS_PER_CONNECTION,
        listen="\n        ".join(
            [f"listen {host}:{port} backlog={BACKLOG}{http2};" for host in hosts]
        ),
        answer=answer,
    )
