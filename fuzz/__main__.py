"""``python -m fuzz TARGET --seconds N``: by atheris, which ``make fuzz`` installs.

What is found lies in ``build/fuzz/TARGET``, as ``crash-…``. Mend it, and put the file into
``fuzz/corpus/TARGET`` under a name that says what it was: every test run feeds it again, to both
forms.
"""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
FOUND = Path("build/fuzz")
_MOST_BYTES = 4096


def targets() -> dict[str, Callable[[bytes], None]]:
    """By name; a corpus has the same one."""
    from fuzz import http, streams

    return {
        "http1-request": http.request,
        "http1-response": http.response,
        "chunked": http.chunked,
        "http2": http.frames,
        "hpack": http.header_block,
        "client-hello": streams.client_hello,
        "proxy": streams.proxy,
        "websocket": streams.websocket,
        "websocket-messages": streams.messages,
        "websocket-deflate": streams.compressed_messages,
        "form": streams.form,
        "sse": streams.events,
        "ext-proc": streams.gateway,
        "json": streams.body,
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("target", nargs="?", help="all, one after another, without one")
    parser.add_argument("--seconds", type=int, default=60, help="for each")
    options = parser.parse_args()
    if options.target is None:
        return _all(options.seconds)
    os.environ["PENSTOCK_PURE"] = "1"  # coverage sees no compiled code
    import atheris

    with atheris.instrument_imports(include=["penstock.wire", "penstock.core"]):
        known = targets()
    if options.target not in known:
        parser.error(f"there is no target {options.target!r}; there are {', '.join(known)}")
    found = FOUND / options.target
    found.mkdir(parents=True, exist_ok=True)
    arguments = [
        sys.argv[0],
        f"-max_total_time={options.seconds}",
        f"-max_len={_MOST_BYTES}",
        f"-artifact_prefix={found}/",
        "-timeout=10",
        "-print_final_stats=1",
        str(found),
        str(CORPUS / options.target),
    ]
    atheris.Setup(arguments, known[options.target])
    atheris.Fuzz()
    return 0


def _all(seconds: int) -> int:
    """Each in a process of its own, as a finding ends it."""
    import subprocess

    os.environ["PENSTOCK_PURE"] = "1"
    failed = []
    for name in targets():
        print(f"== {name}", flush=True)
        command = [sys.executable, "-m", "fuzz", name, "--seconds", str(seconds)]
        if subprocess.run(command, check=False).returncode:  # noqa: S603
            failed.append(name)
    if failed:
        print(f"found something: {', '.join(failed)}; see {FOUND}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
