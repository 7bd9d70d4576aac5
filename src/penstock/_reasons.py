"""Why a connection failed, as people say it.

aiohttp's own texts tell of TLS where there is none, and asyncio's show tuples.
"""

import errno
import os
import ssl
from typing import Final

_PLAIN: Final = {
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "connection reset",
    errno.EHOSTUNREACH: "no route to the host",
    errno.ENETUNREACH: "no route to its network",
    errno.EPIPE: "connection closed",
    errno.ETIMEDOUT: "no answer to connecting",
}
_NO_TLS: Final = frozenset(("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"))


def reason_of(error: Exception) -> str:
    """What happened, in few words: ``connection refused``."""
    cause = getattr(error, "os_error", None)  # aiohttp's ClientConnectorError keeps it there
    if isinstance(cause, OSError):
        error = cause
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: certificate verify failed: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        if error.reason in _NO_TLS:
            return "TLS: the server does not speak TLS on this port"
        return f"TLS: {error.reason or error}"
    if isinstance(error, OSError) and error.errno is not None:
        if error.errno in _PLAIN:
            return _PLAIN[error.errno]
        if error.errno > 0:
            return os.strerror(error.errno)
        return error.strerror or str(error)  # getaddrinfo's errors are numbers of its own
    if isinstance(error, ConnectionResetError) and not str(error):  # asyncio's, within a handshake
        return _PLAIN[errno.ECONNRESET]
    return str(error) or type(error).__name__
