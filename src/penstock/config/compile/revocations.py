"""Certificate revocation lists, tried before they are used; how it is told when they end."""

import ssl
import time
from pathlib import Path
from typing import Final

from penstock.wire.crl import end_of

_DAY_S: Final = 86400.0
TOLD_AHEAD_S: Final = 7 * _DAY_S  # before a list ends


def check_revocations(crl_file: Path) -> float:
    """When the first list in the file ends, in seconds since 1970; 0.0 where none tells.

    Raises ValueError, for people, when the file holds no certificate revocation lists.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_verify_locations(crl_file)
    except ssl.SSLError as error:
        raise ValueError(f"{crl_file} holds no CRL in PEM form") from error
    except OSError as error:
        raise ValueError(f"{crl_file} cannot be read: {error.strerror}") from error
    if context.cert_store_stats()["crl"] == 0:
        raise ValueError(f"{crl_file} holds no CRL, but other things in PEM form")
    return end_of(crl_file.read_bytes())


def lacking_lists(ca_file: Path, crl_file: Path) -> str:
    """That there are fewer lists than authorities, for people; "" where there are enough, or where
    a file cannot be read, which is told elsewhere."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_verify_locations(ca_file)
        context.load_verify_locations(crl_file)
    except (OSError, ssl.SSLError):
        return ""
    held = context.cert_store_stats()
    authorities, lists = held["x509_ca"], held["crl"]
    if lists >= authorities:
        return ""
    return (
        f"{crl_file} holds {lists} of the lists of {authorities} authorities in {ca_file}: "
        "clients of one without a list are refused"
    )


def told_end(end: float, now: float) -> str:
    """For people, as the end of a sentence about a list."""
    date = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(end))
    if end <= now:
        return (
            f"ended on {date}: every client certificate is refused until a newer list is there "
            "(nextUpdate)"
        )
    days = (end - now) / _DAY_S
    return f"ends on {date}, in {days:.1f} days: then every client certificate is refused"
