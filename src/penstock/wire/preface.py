"""What reading the beginning of a connection can come to, while its bytes still arrive.

A PROXY header and a TLS ClientHello may come in pieces. Their readers are given all that has come
so far, from the first byte on, and answer with one of these.
"""

from typing import Final

NEED_MORE: Final = 0  # all that came may be the beginning of one
ABSENT: Final = 1  # it is not there: the bytes are something else
BAD: Final = 2  # it is there and breaks its rules; the reason is told
FOUND: Final = 3
