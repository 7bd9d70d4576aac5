"""The log of errors in the admin server and in emulated engines."""

import logging
from typing import Final

from aiohttp.http_exceptions import HttpProcessingError

# Given to aiohttp in place of its own logger, whose records no handler of ours would format.
HTTP_LOG: Final = logging.getLogger("penstock.http")


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether it is more than a request that cannot be read, whose sender is told with a 400.

    aiohttp logs those as errors with a traceback: anybody's port scan would fill the log.
    """
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


HTTP_LOG.addFilter(_is_ours)
