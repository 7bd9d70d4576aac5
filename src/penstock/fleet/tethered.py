"""``python -m penstock.fleet.tethered VERB …``: a verb that ends, as by SIGTERM, when stdin does.

The other end of stdin is the parent's: it closes however the parent dies.
"""

from __future__ import annotations

import os
import runpy
import signal
import threading


def _end_with_stdin() -> None:
    while os.read(0, 65536):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    runpy.run_module("penstock", run_name="__main__")
