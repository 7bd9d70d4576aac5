"""A console for verbs that run an event loop."""

import errno
import os

from rich.console import Console


class LoopConsole(Console):
    """Raises BrokenPipeError where its reader is gone (`… | head`), which click ends quietly.

    The SystemExit of rich would leave the loop without what its tasks clean up.
    """

    def on_broken_pipe(self) -> None:
        """Called by rich."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
